#!/bin/sh
# Protects: scope-grid tokenize and parse on stdin and stdout: one line in, one out, in order; a bad line ends
# them with its place and a nonzero status. Usage: check_commands.sh SCOPE_GRID TOKENIZER
grid=$1
tokenizer=$2
bad=0

# expect NAME STATUS OUTPUT ERROR-PART -- input (printf format) -- arguments
expect() {
    name=$1 status=$2 output=$3 message=$4 input=$5
    shift 5
    out=$(printf "$input" | "$grid" "$@" 2>error.txt)
    rc=$?
    if [ "$rc" -ne "$status" ] || [ "$out" != "$output" ] ||
        { [ -n "$message" ] && ! grep -qF -- "$message" error.txt; } || { [ -z "$message" ] && [ -s error.txt ]; }; then
        echo "FAILED: $name: status $rc, output '$out', error '$(cat error.txt)'"
        bad=1
    fi
}
work=$(mktemp -d) && cd "$work" || exit 1
trap 'rm -rf "$work"' EXIT
printf '' >empty

expect "lines in order" 0 '{"len": 5, "correct": "no", "confidence": 1.0}
{"len": null, "correct": "unparsed", "confidence": 0.0}' '' \
    '{"text": "Predicted Performance: {len: 5, correct: no}"}\n\n{"text": "", "more": 1}\n' parse
expect "reference" 0 '{"len": 7, "correct": "unknown", "confidence": 0.5}' '' '{"text": "len: 7"}' parse --reference
expect "text of the wrong type" 3 '{"len": null, "correct": "unparsed", "confidence": 0.0}' \
    'stdin:2: text must be a string' '{"text": "a"}\n{"text": 3}\n{"text": "b"}\n' parse
expect "control token" 0 '{"ids": [4095]}' '' '{"text": "<|im_end|>"}\n' tokenize --trusted --tokenizer "$tokenizer"
expect "the way back" 0 '{"text": "<|im_end|>"}' '' '{"ids": [4095]}\n' tokenize --decode --tokenizer "$tokenizer"
expect "special tokens left out" 0 '{"text": ""}' '' '{"ids": [4095]}\n' tokenize --decode --skip-special \
    --tokenizer "$tokenizer"
expect "NUL is text" 0 '{"text": "\u0000"}' '' '{"ids": [188]}\n' tokenize --decode --tokenizer "$tokenizer"
expect "no text" 3 '' 'stdin:2:1: "text" is missing' '\n{"txt": "a"}\n' tokenize --tokenizer "$tokenizer"
expect "half a pair" 3 '' 'stdin:1:10: half of a surrogate pair' '{"text":"\\ud800"}\n' tokenize --tokenizer "$tokenizer"
expect "not UTF-8" 3 '' 'stdin:1:10: invalid UTF-8' '{"text":"\377"}\n' tokenize --tokenizer "$tokenizer"
expect "no such id" 3 '' 'stdin:1:11: id 4096 is not in the tokenizer' '{"ids":[1,4096]}\n' tokenize --decode \
    --tokenizer "$tokenizer"
expect "byte order mark" 0 '{"ids": [4095]}' '' '\357\273\277{"text": "<|im_end|>"}\r\n' tokenize --trusted \
    --tokenizer "$tokenizer"
expect "no tokenizer" 3 '' 'nowhere: cannot open' '' tokenize --tokenizer nowhere
expect "empty tokenizer" 3 '' 'empty:1:1: the text ends where an object was expected' '' tokenize --tokenizer empty
expect "usage" 2 '' '--tokenizer PATH is missing' '' tokenize
plain=$(printf '{"text": "<|im_end|>"}\n' | "$grid" tokenize --tokenizer "$tokenizer")
case $plain in *4095* | "") echo "FAILED: plain text gave a control token: $plain" && bad=1 ;; esac
exit $bad

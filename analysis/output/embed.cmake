# cmake -DIN=report.html -DOUT=file.c -DNAME=symbol -P embed.cmake: the page with its style and its script put in,
# as a C array of its bytes and a NUL. The page's Content-Security-Policy allows these two by their SHA-256 and
# nothing else.

# The base64 of 64 hexadecimal digits.
function(base64 hex out)
  set(letters ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  set(text "")
  string(APPEND hex "00") # 33 bytes: eleven groups of three
  foreach(at RANGE 0 60 6)
    string(SUBSTRING ${hex} ${at} 6 group)
    foreach(shift 18 12 6 0)
      math(EXPR digit "(0x${group} >> ${shift}) & 63")
      string(SUBSTRING ${letters} ${digit} 1 letter)
      string(APPEND text ${letter})
    endforeach()
  endforeach()
  string(SUBSTRING ${text} 0 43 text)
  set(${out} "${text}=" PARENT_SCOPE)
endfunction()

file(READ ${IN} page)
foreach(part css js)
  string(REGEX REPLACE "[.]html$" ".${part}" file ${IN})
  file(READ ${file} text)
  string(STRIP "${text}" text)
  string(SHA256 hash "${text}")
  base64(${hash} hash)
  string(TOUPPER ${part} hole)
  string(REPLACE "@${hole}@" "${text}" page "${page}")
  string(REPLACE "@${hole}_HASH@" "sha256-${hash}" page "${page}")
endforeach()
string(HEX "${page}" hex)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "extern const unsigned char ${NAME}[];\nconst unsigned char ${NAME}[] = {\n${bytes}0};\n")

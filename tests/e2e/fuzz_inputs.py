"""fuzz_inputs.py SEED N: N mutations of a job, a sweep and their data files, run and planned. Every one either
works or is refused in one line that names the file (and, in a mutated record, its line), within ten seconds, with
nothing begun. BIN and SRC in the environment name the build and the sources; a sanitizer's report is a failure."""
import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
SEED, N = (int(sys.argv[1]), int(sys.argv[2]))
SRC, BIN = (os.environ['SRC'], os.environ['BIN'] + '/scope-grid')
WORK = tempfile.mkdtemp(prefix='sg-fuzz.')
rnd = random.Random(SEED)
G = WORK + '/good'
B = WORK + '/bad'
subprocess.run([sys.executable, '-B', SRC + '/tests/e2e/slice.py', SRC + '/jobs/demo', G, '2', '1'],
    check=True, stdout=subprocess.DEVNULL)
j = json.load(open(G + '/job.json'))
j['prompt'] = {'anchors': 1, 'anchor_chars': 50}
j['sampling'] = {'samples': 1, 'max_new_tokens': 4, 'seed': 3, 'temperature': 0.6}
j['engine'] = {'max_batch_tokens': 512, 'kv_cache_mib': 64}
json.dump(j, open(G + '/job.json', 'w'), indent=1)
s = {'name': 'sw', 'job': 'job.json', 'dir': 'sweep', 'axes': {'sampling.temperature': [0.3],
    'prompt.anchors': [1]}}
json.dump(s, open(G + '/sweep.json', 'w'), indent=1)
env = dict(os.environ, ASAN_OPTIONS='detect_leaks=0', OMPI_ALLOW_RUN_AS_ROOT='1',
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1')
VALUES = [None, True, False, 0, -1, 1, 2.5, 1e+308, -1e+308, 1e+18, 9007199254740993, 2 ** 63, -2 ** 63,
    1e-320, '', ' ', 'x', '0', 'null', 'é\x00x', '\ud800', 'a' * 5000, [], [1], {}, {'a': 1}, [[[]]],
    '../../../etc/passwd', '/dev/null', '.', '{night}', 'nan', 'a\nb', 2147483648, 4294967296,
    0.1 + 0.2, '$HOME', '~']


def paths(v, at=()):
    out = [at] if at else []
    if isinstance(v, dict):
        for k in v:
            out += paths(v[k], at + (k,))
    elif isinstance(v, list):
        for i in range(len(v)):
            out += paths(v[i], at + (i,))
    return out


def setp(v, p, x):
    for k in p[:-1]:
        v = v[k]
    v[p[-1]] = x


def delp(v, p):
    for k in p[:-1]:
        v = v[k]
    del v[p[-1]]


def getp(v, p):
    for k in p:
        v = v[k]
    return v


def mutate_tree(v):
    ps = paths(v)
    p = rnd.choice(ps)
    kind = rnd.choice(['set', 'set', 'set', 'del', 'rename', 'extra', 'dup'])
    v = copy.deepcopy(v)
    if kind == 'set':
        x = rnd.choice(VALUES)
        setp(v, p, x)
        return (json.dumps(v), f'{p}={str(x)[:30]!r}')
    if kind == 'del':
        delp(v, p)
        return (json.dumps(v), f'del {p}')
    parent = getp(v, p[:-1])
    if kind == 'rename' and isinstance(parent, dict):
        parent[rnd.choice([str(p[-1]) + 's', str(p[-1]).upper(), ' ' + str(p[-1])])] = parent.pop(p[-1])
        return (json.dumps(v), f'rename {p}')
    if kind == 'extra' and isinstance(parent, dict):
        parent['zzz'] = 1
        return (json.dumps(v), f'extra at {p[:-1]}')
    if kind == 'dup' and isinstance(parent, dict) and (len(p) == 1):
        t = json.dumps(v)[:-1] + ', ' + json.dumps({p[-1]: parent[p[-1]]})[1:]
        return (t, f'dup {p}')
    return (json.dumps(v), 'none')
RAWNUM = ['NaN', 'Infinity', '-Infinity', '1e999', '-1e999', '01', '+1', '1.', '.5', '0x10', '1e', '--1',
    '9' * 400, 'tru', 'nul', "'a'", '1_000']


def raw(b):
    k = rnd.randrange(19)
    n = len(b)
    if k == 0:
        return (b'', 'empty')
    if k == 1:
        return (b'\xef\xbb\xbf' + b, 'BOM')
    if k == 2:
        return (b.replace(b'\n', b'\r\n'), 'CRLF')
    if k == 3:
        i = rnd.randrange(n)
        return (b[:i] + bytes([rnd.choice([255, 192, 128, 237])]) + b[i:], f'bad utf8 at {i}')
    if k == 4:
        i = rnd.randrange(n)
        return (b[:i], f'cut at {i}')
    if k == 5:
        i = rnd.randrange(n)
        return (b[:i] + b'\x00' + b[i:], f'NUL at {i}')
    if k == 6:
        return (b + b, 'twice')
    if k == 7:
        return (b'[' * rnd.choice([10, 999, 100000]) + b, 'nest')
    if k == 8:
        return (b + b'garbage', 'garbage behind')
    if k == 9:
        return (b.decode().encode('utf-16'), 'utf16')
    if k == 10:
        i = rnd.randrange(n)
        return (b[:i] + bytes([b[i] ^ 1 << rnd.randrange(8)]) + b[i + 1:], f'flip at {i}')
    if k == 11:
        return (b'   \n\n\n', 'blank')
    if k == 12:
        return (os.urandom(5000), 'random')
    if k == 13:
        return (b'null\n', 'null')
    if k == 14:
        return (b'\x1f\x8b\x08\x00\x00\x00\x00\x00' + os.urandom(300), 'gzip')
    if k == 15:
        m = list(re.finditer(b': (-?[0-9][0-9.e]*)', b))
        if not m:
            return (b[:-3], 'cut3')
        m = rnd.choice(m)
        x = rnd.choice(RAWNUM)
        return (b[:m.start(1)] + x.encode() + b[m.end(1):], f'number {x[:12]}')
    if k == 16:
        return (b.replace(b'"', b"'"), 'single quotes')
    if k == 17:
        i = rnd.randrange(n)
        return (b[:i] + b'\xe2\x80\xa8' + b[i:], 'U+2028')
    if k == 18:
        lines = b.split(b'\n')
        i = rnd.randrange(len(lines))
        return (b'\n'.join(lines[:i] + [b'', b'# comment'] + lines[i:]), f'comment line {i + 1}')


def special(path):
    k = rnd.choice(['dir', 'fifo', 'missing', 'noperm-link', 'loop', 'devfull', 'devzero', 'big'])
    os.remove(path)
    if k == 'dir':
        os.mkdir(path)
    elif k == 'fifo':
        os.mkfifo(path)
    elif k == 'noperm-link':
        os.symlink('/nonexistent/x', path)
    elif k == 'loop':
        os.symlink(os.path.basename(path), path)
    elif k == 'devfull':
        os.symlink('/dev/null', path)
    elif k == 'devzero':
        os.symlink('/dev/zero', path)
    elif k == 'big':
        with open(path, 'wb') as f:
            f.write(b'{"id": "' + b'a' * 100000000 + b'"}\n')
    return k
files = ['queries.jsonl', 'anchors.jsonl', 'outcomes.jsonl', 'portfolio.json', 'job.json', 'sweep.json']
stat = {}
bad = 0
accepted = []
for it in range(N):
    shutil.rmtree(B, ignore_errors=True)
    shutil.copytree(G, B, symlinks=True)
    f = rnd.choice(files)
    p = B + '/' + f
    r = rnd.random()
    what = ''
    if r < 0.5:
        if f.endswith('l'):
            L = [json.loads(l) for l in open(p)]
            i = rnd.randrange(min(len(L), 6))
            k = rnd.randrange(8)
            out = [json.dumps(x) for x in L]
            if k == 0:
                out.insert(i + 1, out[i])
                what = f'line {i + 1} twice'
            else:
                t, what = mutate_tree(L[i])
                out[i] = t
                what = f'line {i + 1}: ' + what
            open(p, 'w').write('\n'.join(out) + '\n')
        else:
            t, what = mutate_tree(json.load(open(p)))
            open(p, 'w').write(t)
    elif r < 0.9:
        b, what = raw(open(p, 'rb').read())
        open(p, 'wb').write(b)
    else:
        what = special(p)
    job = 'sweep.json' if f == 'sweep.json' or rnd.random() < 0.15 else 'job.json'
    cmd = rnd.choice(['run', 'run', 'plan'])
    t = time.time()
    try:
        q = subprocess.run([BIN, cmd, B + '/' + job] + (['--quiet'] if cmd == 'run' else []),
            capture_output=True, env=env, timeout=60, cwd=WORK)
        rc, out, er = (q.returncode, q.stdout.decode('utf-8', 'replace'), q.stderr.decode('utf-8', 'replace'))
    except subprocess.TimeoutExpired:
        rc, out, er = ('timeout', '', '')
    dt = time.time() - t
    why = []
    lines = [l for l in er.split('\n') if l.strip()]
    if rc not in (0, 2, 3, 4, 5, 6, 7, 10):
        why.append(f'rc {rc}')
    if 'Sanitizer' in er or 'runtime error' in er:
        why.append('SANITIZER')
    if rc != 0 and rc != 10:
        if len(lines) != 1:
            why.append(f'{len(lines)} lines')
        elif not lines[0].startswith('scope-grid: '):
            why.append('no prefix')
        elif rc != 7 and f not in lines[0] and os.path.basename(job) not in lines[0] and \
                not (f == 'portfolio.json' and 'no portfolio entry knows' in lines[0]) and \
                not (f in ('job.json', 'sweep.json') and B in lines[0]):  # a path that leads nowhere
            why.append('file not named')
        elif f.endswith('l') and what.startswith('line') and 'no outcome of model' not in lines[0] and (not re.search(re.escape(f) + ':\\d+',
            lines[0])):
            why.append('line not named?')
        for root, ds, fs in os.walk(B):
            for x in fs:
                if x in ('results.h5', 'DONE', 'run.json') and '/good' not in root:
                    why.append('left ' + os.path.join(root, x))
        new = set(os.listdir(B)) - set(os.listdir(G))
        if new:
            why.append(f'left {new}')
    elif rc == 0:
        accepted.append((f, cmd, what))
    if dt > 10:
        why.append(f'{dt:.0f} s')
    stat[rc] = stat.get(rc, 0) + 1
    if why:
        bad += 1
        print(f'BAD {it} {f} [{cmd} {job}] {what} -> {why} rc {rc}: {er[:700]}', flush=True)
    elif os.environ.get('V'):
        print(f"ok {it} {f} [{cmd} {job}] {what} rc {rc}: {(er or 'accepted')[:200].strip()}")
shutil.rmtree(WORK, ignore_errors=True)
print(f'{N} mutations, {len(accepted)} of them accepted, exit codes {stat}, {bad} bad')
sys.exit(bad > 0)

"""What is allowed of Python means what it means in Python, held against Python itself on plain data.

Where the two differ, the difference has a test of its own at the end.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stateward.errors import EvaluationError
from stateward.scxml.python import PythonDatamodel
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, RecordValue, Value, freeze, thaw

DATAMODEL = PythonDatamodel()
SYSTEM = MapValue([("_event", RecordValue("Event", MapValue([("name", "go"), ("data", freeze({"a": [1]}))])))])
DATA: dict[str, Any] = {
    "n": 7,
    "m": -3,
    "f": 2.5,
    "yes": True,
    "none": None,
    "t": "Hello, world",
    "e": "",
    "xs": [3, 1, 2],
    "nested": [[1, 2], [3, [4, 5]]],
    "pair": (1, "a"),
    "d": {"a": 1, "b": [1, 2], 3: "c"},
    "s": {1, 2, 3},
    "words": ["pear", "fig", "apple"],
}


def run_with(data: dict[str, Any]) -> Run:
    values = MapValue([(name, freeze(value)) for name, value in data.items()])
    return Run(values, SYSTEM, lambda state: state == "a")


def value_of(text: str, **data: object) -> Value:
    return DATAMODEL.expression(text)(run_with({**DATA, **data}))


def script(text: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    run = run_with(DATA if data is None else data)
    DATAMODEL.script(text)(run)
    return {str(name): thaw(value) for name, value in run.data.items.items()}


def same(left: object, right: object) -> bool:
    """Equal, and of the same types all the way down: to Python, 1 is 1.0 and True."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return same(list(left.items()), list(right.items()))
    return left == right


ARITHMETIC = """
n + m
n - m
n * m
n / m
n // m
n % m
n ** 3
n ** -1
2 ** 0.5
2 ** 8191
3 ** 5000
(-3) ** 5001
(1 << 8191) * 1 - 1 + 1
(1 << 8191) - 1 - (1 << 8190)
0 ** 100000
(-1) ** 99999
n ** -f
f + n
f * f
f // 2
f % 1
-n
+n
~n
-f
n << 3
n >> 1
m >> 1
n & 5
n | 8
n ^ 2
yes + yes
yes & True
yes | False
yes ^ True
not yes
not xs
not e
-yes
1_000
0xff + 0o17 + 0b11
1e3
7 // 2 * 2 + 7 % 2
-7 // 2
-7 % 3
2 ** 3 ** 2
(2 ** 3) ** 2
-2 ** 2
1 if n > 3 else 2
1 if xs == [] else 2 if n else 3
abs(m)
abs(-2.5)
divmod(n, m)
divmod(7.5, 2)
pow(n, 2)
round(2.5)
round(3.5)
round(2.675, 2)
round(1234, -2)
round(n)
int(2.9)
int(-2.9)
int('12')
int(' 12 ')
int('ff', 16)
int('0x1f', 0)
int()
int(True)
float('1.5')
float('1e3')
float(n)
float()
float('inf')
bool(xs)
bool(e)
bool()
str(n)
str(f)
str(None)
str(True)
str(xs)
str(d)
str(pair)
str()
repr(t)
repr(words)
repr(d)
repr((1,))
repr(())
repr(set())
repr({})
repr('it\\'s')
repr("a\\n\\t\\\\")
repr(1e100)
repr(0.1 + 0.2)
chr(65)
ord('A')
sum(xs)
sum(xs, 10)
sum([0.5, 1])
sum([])
sum([[1], [2]], [])
min(xs)
max(xs)
min(3, 1, 2)
max(words, key=len)
min(words, key=lambda w: w[-1])
max([], default=5)
min([0], default=5)
"""

COMPARISON = """
n == 7
n != 7
n == 7.0
yes == 1
1 < n < 10
1 < n > 100
1 < 2 <= 2 > 1 >= 1 == 1 != 2
n is None
none is None
none is not None
xs == [3, 1, 2]
xs == (3, 1, 2)
xs != [3, 1]
[1, 2] < [1, 3]
[1, 2] < [1, 2, 0]
[1] <= [1]
(1, 'a') < (1, 'b')
(2,) > (1, 5)
'abc' < 'abd'
'B' < 'a'
[] < [1]
{1} < {1, 2}
{1, 2} <= {1, 2}
{1, 2} > {1}
{3} < {1, 2}
{1: 2} == {1: 2}
{1, 2} == {2, 1}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
3 in xs
4 in xs
4 not in xs
'ell' in t
'' in t
'x' not in t
'a' in d
'z' in d
1 in d
2 in s
(1, 2) in [(1, 2)]
(1, 2) in {(1, 2)}
[1, 2] in nested
n and m
0 and m
0 or m
n or m
e or xs or n
not n == 7
n > 3 and m < 0 or False
none or 'default'
xs and xs[0]
any(x > 2 for x in xs)
all(x > 2 for x in xs)
any([])
all([])
isinstance(n, int)
isinstance(yes, int)
isinstance(f, float)
isinstance(t, str)
isinstance(xs, list)
isinstance(pair, tuple)
isinstance(d, dict)
isinstance(s, set)
isinstance(n, (str, int))
isinstance(n, (str, list))
isinstance(none, bool)
"""

PARTS = """
xs[0]
xs[-1]
xs[1:]
xs[:1]
xs[::-1]
xs[::2]
xs[-2:]
xs[5:]
xs[1:100]
pair[0]
pair[::-1]
t[0]
t[-1]
t[1:4]
t[::-1]
t[:-1]
d['a']
d[3]
d['b'][1]
nested[1][1][0]
nested[0] + nested[1]
[x * 2 for x in xs]
[x for x in xs if x > 1]
[x for x in xs if x > 1 if x < 3]
[x + y for x in xs for y in xs]
[(x, y) for x in xs for y in range(x)]
[[y for y in x] for x in [[1], [2, 3]]]
[a + b for a, b in [(1, 2), (3, 4)]]
[a + b + c for a, (b, c) in [(1, (2, 3))]]
{x: x * x for x in xs}
{k: v for k, v in d.items() if k != 'b'}
{x % 2 for x in xs}
[k for k in d]
[c for c in 'abc']
list(x for x in xs)
sum(x * x for x in xs)
sorted(x for x in xs)
[]
()
{}
(1,)
1, 2
[1, [2, [3]]]
{'a': {'b': 1}}
{1: 'a', 1: 'b'}
{1, 2, 2}
xs + [4]
pair + (2,)
xs * 2
2 * xs
xs * -1
t * 2
t + '!'
(0,) * 3
s | {4}
s & {2, 9}
s - {2}
s ^ {3, 4}
d | {'a': 2}
len(xs)
len(t)
len(d)
len(s)
len(pair)
list('abc')
list(d)
list((1, 2))
list()
tuple(xs)
tuple()
set([1, 1, 2])
set()
dict()
dict(d)
dict([('a', 1)])
dict([('a', 1)], b=2)
dict(a=1, run=2, given=3)
list(range(5))
list(range(2, 5))
list(range(10, 0, -3))
list(range(0))
len(range(10))
list(reversed(xs))
sorted(xs)
sorted(xs, reverse=True)
sorted(words, key=len)
sorted(words, key=lambda w: (len(w), w))
sorted([(1, 'b'), (1, 'a'), (0, 'c')])
sorted([[2], [1, 2], [1]])
sorted(words, key=len, reverse=True)
sorted(d, key=str)
list(enumerate(words))
list(enumerate(words, 1))
list(enumerate(words, start=1))
list(zip(xs, words))
list(zip(xs))
list(zip())
list(zip(xs, [1]))
list(map(len, words))
list(map(lambda a, b: a + b, xs, xs))
list(map(str, xs))
list(filter(None, [0, 1, '', 'a']))
list(filter(lambda x: x > 1, xs))
(lambda a, b=2: a + b)(1)
(lambda a, b=2: a + b)(1, b=5)
(lambda a, b=2: a + b)(b=1, a=3)
(lambda: 5)()
(lambda f: f(f, 5))(lambda f, n: 1 if n == 0 else n * f(f, n - 1))
[f(1) for f in [lambda x: x + 1, lambda x: x * 2]]
(lambda x: [x + y for y in xs])(10)
"""

METHODS = """
t.upper()
t.lower()
t.title()
t.swapcase()
t.capitalize()
t.casefold()
t.strip('Hd')
t.lstrip('H')
t.rstrip('d')
'  a '.strip()
t.startswith('He')
t.startswith(('x', 'He'))
t.startswith('l', 2)
t.endswith('d')
t.find('o')
t.find('o', 5)
t.find('z')
t.rfind('o')
t.index('o')
t.rindex('o')
t.count('l')
t.count('l', 4)
t.count('')
t.split()
t.split(', ')
t.split('l', 1)
t.split('l', maxsplit=1)
t.split(sep='l')
t.rsplit('l', 1)
'a  b'.split(' ')
'a\\nb\\r\\nc'.splitlines()
'a\\nb'.splitlines(True)
t.partition(', ')
t.partition('x')
t.rpartition('o')
t.replace('l', 'L')
t.replace('l', 'L', 1)
t.replace('l', '')
t.replace('', '-')
t.removeprefix('Hel')
t.removesuffix('ld')
', '.join(words)
''.join(['a', 'b'])
'-'.join('abc')
t.center(20, '*')
t.center(5)
t.ljust(15)
t.rjust(15, '.')
'42'.zfill(5)
'-42'.zfill(5)
'a\\tb'.expandtabs()
'a\\tb'.expandtabs(2)
'a'.isalpha()
'1'.isdigit()
'a1'.isalnum()
' '.isspace()
'a'.islower()
'A'.isupper()
'a_b'.isidentifier()
'\\u00bd'.isnumeric()
'\\u0130'.lower()
'\\u00df'.upper()
'A b'.istitle()
'a'.isascii()
'a'.isprintable()
'1'.isdecimal()
xs.index(1)
xs.count(1)
xs.copy()
pair.index('a')
pair.count(1)
d.get('a')
d.get('z')
d.get('z', 5)
list(d.keys())
list(d.values())
list(d.items())
d.copy()
s.union([9])
s.union([9], [10])
s.intersection([1, 9])
s.difference([1])
s.issubset([1, 2, 3, 4])
s.issuperset([1])
s.isdisjoint([9])
'{} {}'.format(1, 'a')
'{1} {0}'.format(1, 'a')
'{a}-{b}'.format(a=1, b=2)
'{0} {a}'.format(1, a=2)
'{:>5}|{:<5}|{:^5}'.format(1, 2, 3)
'{:05d} {:x} {:b} {:e} {:.2f} {:,}'.format(42, 255, 5, 1234.5, 3.14159, 1000000)
'{!r} {!s} {!a}'.format('a', 'b', '\\u00e9')
'{{}} {}'.format(1)
'{}'.format(xs)
'{}'.format(None)
f'{n} {t}'
f'{n:>5}|{f:.1f}|{n:03d}'
f'{t!r:>20}'
f'{xs} {d}'
f'{n=}'
f'{n:{n}}'
f'{{}} {n + 1}'
f'{"a" "b"}'
f'a' 'b'
'%s %d %r' % (t, n, t)
'%5d|%-5d|%05d' % (1, 2, 3)
'%.2f %e %g' % (f, f, f)
'%x %o %X %c' % (255, 8, 255, 'a')
'%(a)s %(b)s' % {'a': 1, 'b': [2]}
'%s' % n
'%s' % [1, 2]
'%s' % {'a': [1]}
'%s' % None
'%s' % (pair,)
'%s %s' % pair
'%r' % ('a',)
'%%'  % ()
'100%%' % ()
'%s%%' % n
format(n, '>5')
format(f, '.3f')
format(t)
format(n, 'b')
"""


def lines(*tables: str) -> list[str]:
    return [line for table in tables for line in table.splitlines() if line]


@pytest.mark.parametrize("text", lines(ARITHMETIC, COMPARISON, PARTS, METHODS))
def test_an_expression_means_what_it_means_in_python(text: str) -> None:
    expected = eval(text, copy.deepcopy(DATA))
    found = thaw(value_of(text))
    assert same(found, list(expected) if type(expected) is range else expected)


SCRIPTS = {
    "assignments": "a = 1\nb, c = 2, 3\n[p, (q, r)] = [4, (5, 6)]\nx = y = [1]\nz: int = 7",
    "augmented": "a = 5\na += 2\na -= 1\na *= 3\na //= 2\na **= 2\na %= 50\na <<= 1\na >>= 1\na |= 64\n"
    "a &= 127\na ^= 1",
    "augmented-text": "t = 'a'\nt += 'b'\nt *= 3",
    "items": "x = [1, [2, 3], {'a': 4}]\nx[0] = 5\nx[1][0] += 10\nx[2]['a'] = [x[0]]\nx[2]['b'] = 6\nx[-1]['c'] = 7",
    "delete": "x = [1, 2, 3]\ndel x[0]\ndel x[-1]\nd = {'a': 1, 'b': 2}\ndel d['a']",
    "if": "a = 3\nif a > 5: b = 1\nelif a > 2: b = 2\nelse: b = 3",
    "for": "total = 0\nfor i in range(5):\n    if i == 3: continue\n    total += i\nelse:\n    done = True",
    "for-break": "for i in range(5):\n    if i == 3: break\nelse:\n    done = True",
    "for-items": "out = []\nfor k, v in {'a': 1, 'b': 2}.items(): out.append((k, v))",
    "for-target": "x = [0, 0]\nfor x[0] in [1, 2, 3]: x[1] += x[0]",
    "for-changing": "x = [1, 2]\nout = []\nfor a in list(x):\n    x.append(a)\n    out.append(len(x))",
    "while": "n = 10\nwhile n > 0:\n    n -= 3\nelse:\n    end = n",
    "while-break": "n = 0\nwhile True:\n    n += 1\n    if n % 7 == 0: break\n    if n > 3: continue\n    n += 0",
    "nested-loops": "out = []\nfor i in range(3):\n    for j in range(3):\n        if j == 2: break\n"
    "        if i == 1: continue\n        out.append((i, j))",
    "list-methods": "x = [3, 1]\nx.append(2)\nx.extend([5, 4])\nx.insert(1, 9)\np = x.pop()\nq = x.pop(0)\n"
    "x.remove(9)\n"
    "x.sort()\nx.reverse()\ny = [1]\ny.clear()\nz = [2, 1]\nz.sort(key=lambda a: -a)\nz.sort(reverse=False)",
    "dict-methods": "d = {'a': 1}\nd.update({'b': 2})\nd.update(c=3)\nd.update([('e', 5)])\np = d.pop('a')\n"
    "q = d.pop('z', 9)\nr = d.setdefault('b', 7)\ns = d.setdefault('f', 6)\nt = d.popitem()\ne = {1: 2}\ne.clear()",
    "set-methods": "s = {1, 2}\ns.add(3)\ns.add(3)\ns.discard(9)\ns.discard(1)\ns.remove(2)\ns.update([7, 8])\n"
    "e = {1}\n"
    "e.clear()\nn = len(s)\nf = sorted(s)",
    "nested-methods": "x = {'a': [1, {'b': [2]}]}\nx['a'][1]['b'].append(3)\nx['a'].append(4)\n"
    "n = x['a'][1]['b'].pop(0)",
    "method-keys-once": "x = [[], []]\ni = [0, 1]\nx[i.pop()].append('a')\nx[i.pop()] += ['b']\nleft = len(i)",
    "argument-changes-owner": "x = [[1], [2]]\nx[0].append(len(x))",
    "function": "def f(a, b=2, c=3): return a * 100 + b * 10 + c\nx = [f(1), f(1, 5), f(1, c=9), f(c=1, a=2)]\n"
    "f = None",
    "function-locals": "x = 1\ndef f():\n    x = 2\n    y = 3\n    return x + y\nr = f()\nf = None",
    "function-reads": "x = 5\ndef f(): return x\nx = 6\nr = f()\nf = None",
    "function-global": "x = 1\ndef f():\n    global x, y\n    x += 1\n    y = x\nf()\nf()\nf = None",
    "function-changes": "x = [1]\ndef f(): x.append(2)\nf()\nf()\nf = None",
    "function-early": "def f(a):\n    for b in a:\n        if b > 1: return b\n    return None\n"
    "r = [f([1, 2, 3]), f([])]\nf = None",
    "function-while": "def f(n):\n    while True:\n        n *= 2\n        if n > 50: return n\nr = f(3)\nf = None",
    "function-nothing": "def f(): pass\ndef g():\n    return\nr = [f(), g()]\nf = g = None",
    "recursion": "def f(n): return 1 if n == 0 else n * f(n - 1)\nr = f(20)\nf = None",
    "mutual": "def even(n): return True if n == 0 else odd(n - 1)\n"
    "def odd(n): return False if n == 0 else even(n - 1)\n"
    "r = [even(8), odd(8)]\neven = odd = None",
    "redefined": "def f(): return 1\ndef g(): return f()\ndef f(): return 2\nr = g()\nf = g = None",
    "inner": "def f(a):\n    def g(b): return a + b\n    return g(10)\nr = f(1)\nf = None",
    "inner-recursive": "def f(n):\n    def g(k): return 0 if k == 0 else k + g(k - 1)\n    return g(n)\n"
    "r = f(5)\nf = None",
    "closure": "def adder(a): return lambda b: a + b\nr = [adder(1)(2), adder(5)(5)]\nadder = None",
    "closures": "def f(n):\n    out = []\n    for i in range(n):\n        out.append((lambda j: lambda: j)(i))\n"
    "    return [g() for g in out]\nr = f(40)\nf = None",
    "comprehension-changes-local": "def f():\n    x = []\n    y = [x.append(i) for i in range(3)]\n    return x\n"
    "r = f()\nf = None",
    "comprehension-changes-data": "x = []\ny = [x.append(i) for i in range(3)]",
    "comprehension-scope": "i = 'kept'\nx = [i for i in range(3)]",
    "comprehension-in-function": "def f(n):\n    k = 2\n    return [i * k for i in range(n) if i != k]\n"
    "r = f(4)\nf = None",
    "lambda-default": "n = 1\ng = lambda a, b=n: a + b\nn = 5\nr = g(1)\ng = None",
    "docstring": "'about'\ndef f():\n    'about'\n    return 1\nr = f()\nf = None",
    "shadowing": "def f(len): return len + 1\nr = f(1)\nf = None",
    "passing-functions": "def twice(f, x): return f(f(x))\nr = twice(lambda v: v + 3, 1)\ntwice = None",
    "map-with-function": "def f(x): return x * x\nr = list(map(f, [1, 2]))\nq = sorted([3, -4], key=f)\nf = None",
    "pass": "pass",
    "sort-stable": "x = [('b', 1), ('a', 1), ('c', 0)]\nx.sort(key=lambda p: p[1])",
    "unpack-text": "a, b = 'xy'",
    "swap": "a, b = 1, 2\na, b = b, a",
    "fibonacci": "a, b, out = 0, 1, []\nwhile a < 100:\n    out.append(a)\n    a, b = b, a + b",
    "primes": "primes = []\nfor n in range(2, 60):\n    if all(n % p for p in primes): primes.append(n)",
    "words": "count = {}\nfor w in 'the cat the dog'.split(): count[w] = count.get(w, 0) + 1",
    "matrix": "m = [[1, 2], [3, 4]]\nt = [[row[i] for row in m] for i in range(2)]\n"
    "m[0][1], m[1][0] = m[1][0], m[0][1]",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_does_what_it_does_in_python(name: str) -> None:
    expected: dict[str, Any] = {}
    exec(SCRIPTS[name], expected)
    for name_of_pythons in ("__builtins__", "__annotations__", "__doc__"):
        expected.pop(name_of_pythons, None)
    found = script(SCRIPTS[name], {})
    assert same({key: found[key] for key in sorted(found)}, {key: expected[key] for key in sorted(expected)})


CLASSES = {
    "fields": "class P:\n    def __init__(self, x, y=2):\n        self.x = x\n        self.y = y\np = P(1)\n"
    "r = [p.x, p.y]\n"
    "p.x = 5\nq = p.x",
    "methods": "class C:\n    def __init__(self): self.n = 0\n    def add(self, k=1):\n        self.n += k\n"
    "        return self.n\n"
    "c = C()\nr = [c.add(), c.add(5), c.n]",
    "values": "class C:\n    kind = 'c'\n    many = 2\nc = C()\nr = [c.kind, C.many]\nc.kind = 'other'\n"
    "q = [c.kind, C.kind]",
    "calls-own": "class C:\n    def __init__(self): self.log = []\n    def a(self):\n        self.log.append('a')\n"
    "        self.b()\n    def b(self): self.log.append('b')\nc = C()\nc.a()\nr = c.log",
    "named-as-builtins": "class Q:\n    def __init__(self): self.items = [1, 2]\n"
    "    def len(self): return len(self.items)\n"
    "    def str(self): return str(self.items)\nq = Q()\nr = [q.len(), q.str()]",
    "nested": "class P:\n    def __init__(self, v): self.v = v\nb = P(P(1))\nb.v.v = 7\nr = b.v.v",
    "in-lists": "class P:\n    def __init__(self, v): self.v = v\n    def up(self): self.v += 1\n"
    "x = [P(1), P(2)]\nx[1].up()\n"
    "x[0].v = 9\nr = [p.v for p in x]",
    "functions-as-fields": "class P: pass\np = P()\np.f = lambda a: a + 1\nr = p.f(1)",
    "isinstance": "class A: pass\nclass B: pass\na = A()\n"
    "r = [isinstance(a, A), isinstance(a, B), isinstance(a, (B, A)),"
    " isinstance(1, A)]",
    "made-in-method": "class P:\n    def __init__(self, v): self.v = v\n    def next(self): return P(self.v + 1)\n"
    "r = P(1).next().next().v",
    "keyword": "class P:\n    def __init__(self, a, b): self.s = a - b\nr = P(b=1, a=5).s",
    "local-class": "def f():\n    class P:\n        def __init__(self, v): self.v = v\n    return P(3).v\nr = f()",
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_does_what_it_does_in_python(name: str) -> None:
    expected: dict[str, Any] = {}
    exec(CLASSES[name], expected)
    found = script(CLASSES[name], {})
    assert same(found["r"], expected["r"])
    assert same(found.get("q"), expected.get("q")) or name == "named-as-builtins"


# What is different, each on purpose.


def test_values_are_no_references() -> None:
    data = script("a = [1]\nb = a\nb.append(2)\nc = [a, a]\nc[0].append(3)", {})
    assert data == {"a": [1], "b": [1, 2], "c": [[1, 3], [1]]}


def test_arguments_are_copies() -> None:
    data = script("def f(x):\n    x.append(2)\n    return x\na = [1]\nb = f(a)\nf = None", {})
    assert data == {"a": [1], "b": [1, 2], "f": None}


def test_what_a_loop_goes_through_stays_as_it_was() -> None:
    assert script("x = [1, 2]\nfor a in x: x.append(a)", {})["x"] == [1, 2, 1, 2]


def test_an_instance_changed_through_another_name_is_another_value() -> None:
    counter = "class C:\n    def __init__(self): self.n = 0\n    def up(self): self.n += 1\n"
    data = script(counter + "c = C()\nd = c\nd.up()\nr = [c.n, d.n, c == d]", {})
    assert data["r"] == [0, 1, False]


def test_equal_instances_are_equal() -> None:
    data = script("class C:\n    def __init__(self, n): self.n = n\nr = [C(1) == C(1), C(1) == C(2)]", {})
    assert data["r"] == [True, False]


def test_closures_keep_what_was_there_when_they_were_made() -> None:
    data = script("def f():\n    x = 1\n    g = lambda: x\n    x = 2\n    return g()\nr = f()", {})
    assert data["r"] == 1


def test_equal_functions_are_equal() -> None:
    assert value_of("(lambda a: a + 1) == (lambda a: a+1)") is True
    assert value_of("(lambda a: a + 1) == (lambda b: b + 1)") is False


def test_generators_ranges_and_views_are_lists() -> None:
    for text in ("(x for x in xs)", "range(3)", "map(str, xs)", "zip(xs)", "reversed(xs)", "d.keys()"):
        assert isinstance(thaw(value_of(text)), list)


def test_a_set_remembers_the_order_in_which_its_members_came() -> None:
    assert value_of("list({'b', 'a', 'c', 'a'})") == freeze(["b", "a", "c"])
    assert value_of("str({3, 1, 2} | {0})") == "{3, 1, 2, 0}"


def test_a_script_may_be_indented_as_the_document_is() -> None:
    assert script("\n        x = 1\n        if x:\n            y = 2\n    ", {}) == {"x": 1, "y": 2}


def test_a_name_assigned_in_an_expression_or_location_must_be_declared() -> None:
    run = run_with({"x": 1})
    DATAMODEL.location("x")(run, 5)
    assert run.data["x"] == 5
    with pytest.raises(EvaluationError, match="y is not declared"):
        DATAMODEL.location("y")(run, 5)
    DATAMODEL.script("y = 1")(run)
    with pytest.raises(EvaluationError, match="z is not declared"):
        DATAMODEL.location("z")(run, 5)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("x[0]", [1, 2], [5, 2]),
        ("x[-1]", [1, 2], [1, 5]),
        ("x['a']", {}, {"a": 5}),
        ("x['a'][1]", {"a": [1, 2]}, {"a": [1, 5]}),
        ("x[len(x) - 1]", [1, 2, 3], [1, 2, 5]),
        ("(x)", 1, 5),
    ],
)
def test_a_location_is_assigned_to(text: str, before: object, after: object) -> None:
    run = run_with({"x": before})
    DATAMODEL.location(text)(run, 5)
    assert thaw(run.data["x"]) == after


@pytest.mark.parametrize("text", ["x[2]", "x[-3]", "x['a']", "x.a", "x[0][0]", "x[None]", "x[1.0]"])
def test_a_place_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(EvaluationError):
        DATAMODEL.location(text)(run_with({"x": [1, 2]}), 5)


def test_conditions_count_as_true_or_not() -> None:
    run = run_with(DATA)
    assert DATAMODEL.condition("xs")(run)
    assert not DATAMODEL.condition("e")(run)
    assert DATAMODEL.condition("In('a') and not In('b')")(run)
    assert DATAMODEL.condition("_event.name == 'go' and _event.data['a'] == [1]")(run)


def test_what_is_wrong_with_a_text_is_told_when_it_is_evaluated() -> None:
    for compiled in (DATAMODEL.condition("1 +"), DATAMODEL.expression("1 +"), DATAMODEL.script("if")):
        with pytest.raises(EvaluationError, match="is no Python"):
            compiled(run_with({}))


def test_nothing_but_scripts_assigns() -> None:
    """A method called in an expression changes its run's data, and no earlier value of them."""
    run = run_with({"x": [1]})
    before = run.data
    DATAMODEL.expression("x.append(2)")(run)
    assert (thaw(before), thaw(run.data)) == ({"x": [1]}, {"x": [1, 2]})

"""What runs the pages finds the faults of planted ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs import running
from tests.docs.blocks import read_page
from tests.docs.links import anchors_of, links_of
from tests.docs.running import Fixture, Lasting, run_page
from tests.docs.servers import Server


def run(tmp_path: Path, text: str, fixture: Fixture | None = None) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    folder = tmp_path / f"folder{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    run_page(read_page(page), folder, fixture)


GOOD = """
# A page

```python
number = 6
```

```python
print(number * 7)
print("it took 3.1 s")
```

```text
42
it took ... s
```

```python
# shop.py
from stateward import Chart

print("hello from", __name__)
```

```sh
python shop.py   # and what it says
python -c 'raise SystemExit(3)'  # exit code 3
python -c 'raise SystemExit(4)'  # there is none: exit code 4
```

```text
hello from __main__
```

```console
$ stateward --version
stateward ...
$ python shop.py | head -c 5
hello
```

```sh
stateward scxml run examples/microwave.scxml \\
    turn.on=3
```

```toml
[tool.stateward]
```

```json
{"a": 1}
```

```yaml
a: 1
```

```xml
<a/>
```

```sql
SELECT max(recorded_at) FROM record;
```

```mermaid
stateDiagram-v2
    [*] --> waiting: asked
```

```
a ──▶ b
```

```sh
make docs test
pip install 'stateward[postgres,http]'
```

<!-- not run: it is somewhere else -->
```sh
rm -rf /somewhere/else
```
"""


def test_a_good_page_runs(tmp_path: Path) -> None:
    run(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```python\nprint(1)\n```\n", "page.md:1: it prints what no text block behind it tells:\n1\n"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "page.md:5: what is printed is not what the page tells"),
        ("```text\n2\n```\n", "page.md:1: it is printed by nothing"),
        ("```python\nx = 1\n```\n```text\nx\n```\n", "page.md:4: what is printed is not what the page tells"),
        ("```python\n# shop.py\n```\n", "page.md:1: no command uses the file shop.py"),
        ("```ruby\nputs 1\n```\n", "page.md:1: nothing is known of blocks of 'ruby'"),
        ("```\nstateward run\n```\n", "page.md:1: a block without a language is a drawing"),
        ("```sh\ndocker run it\n```\n", "page.md:1: docker run it: what `docker` does is not known"),
        ("```sh\nstateward nothing\n```\n", "page.md:1: stateward nothing: it ends with exit code 2, not 0"),
        ("```sh\nls  # exit code 4\n```\n", "page.md:1: ls: it ends with exit code 0, not 4"),
        ("```console\nstateward --version\n```\n", "page.md:1: a console block begins with `$ `"),
        ("```console\n$ stateward --version\nnine\n```\n", "page.md:1: what is printed is not what the page tells"),
        ("```sh\nmake everything\n```\n", "page.md:1: make everything: "),
        ("```sh\nmake Makefile\n```\n", "page.md:1: make Makefile: the Makefile has no such goal"),
        ("```sh\npip install django\n```\n", "page.md:1: pip install django: it is not this project"),
        ("```sh\npip install stateward[moon]\n```\n", "page.md:1: pip install stateward[moon]: there is no such extra"),
        ("```sh\npip uninstall stateward\n```\n", "page.md:1: pip uninstall: what is it for?"),
        ("```toml\n[a\n```\n", "page.md:1: TOMLDecodeError"),
        ("```json\n{\n```\n", "page.md:1: JSONDecodeError"),
        ("```yaml\na: [\n```\n", "page.md:1: ParserError"),
        ("```xml\n<a>\n```\n", "page.md:1: ParseError"),
        ("```sql\nSELECT nothing FROM entity;\n```\n", "page.md:1: OperationalError"),
        ("```sql\nSELECT 1\n```\n", "page.md:1: a statement without an end"),
        ("```mermaid\nstateDiagram-v2\n  a -> b\n```\n", "page.md:1: no transitions"),
        ("```mermaid\npie\n```\n", "page.md:1: no drawing begins with pie"),
        ("```{toctree}\nnowhere\n```\n", "page.md:1: there are no such pages: nowhere"),
    ],
)
def test_a_fault_of_a_page_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(AssertionError) as told:
        run(tmp_path, text)
    assert str(told.value).startswith(fault), told.value


def test_python_that_raises_fails_where_it_does(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, "```python\n1 / 0\n```\n")
    with pytest.raises(SyntaxError):
        run(tmp_path, "<!-- not run: it is long -->\n```python\n1 +\n```\n")


def test_a_block_without_an_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the block that begins in line 2 has no end"):
        run(tmp_path, "text\n```python\n1\n")


def test_a_mark_holds_up_to_the_next_heading(tmp_path: Path) -> None:
    marked = "<!-- not run: elsewhere -->\n```ruby\n1\n```\n\n```text\n2\n```\n"
    run(tmp_path, marked)
    with pytest.raises(AssertionError, match=r"page\.md:11: nothing is known of blocks of 'ruby'"):
        run(tmp_path, f"{marked}\n## Next\n```ruby\n1\n```\n")


SERVE = """
import http.server, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello, " + self.path.encode() + b"\\n")
    def log_message(self, *_):
        pass
import signal
server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"serving on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""


@contextmanager
def a_server(folder: Path) -> Generator[Mapping[str, str]]:
    server = Server([sys.executable, "-c", SERVE])
    try:
        yield {"http://127.0.0.1:8000": server.wait(running.ADDRESS, 60)}
    finally:
        server.stop()


def test_a_page_may_have_a_server_of_which_its_prose_knows_nothing(tmp_path: Path) -> None:
    run(tmp_path, "```sh\ncurl -s http://127.0.0.1:8000/orders\n```\n\n```text\nhello, /orders\n```\n", a_server)


def test_a_command_that_serves_lasts_to_the_end_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the port that is free, while the page names one; the command is planted in the place of the real one."""
    (tmp_path / "serve.py").write_text(SERVE)
    monkeypatch.setattr(running, "COMMAND", [sys.executable, str(tmp_path / "serve.py")])
    monkeypatch.setitem(running.LASTING, "serve", Lasting(("--port", "0"), running.ADDRESS, stays=True))
    commands = "stateward serve --app shop:engine &\ncurl -s http://localhost:8000/orders"
    run(tmp_path, f"```sh\n{commands}\n```\n\n```text\nhello, /orders\n```\n")


def test_a_command_that_does_not_come_to_work_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"does not come to work:\n(.|\n)*name an application"):
        run(tmp_path, "```sh\nstateward run\n```\n")


def test_links_and_anchors_are_read_as_github_does() -> None:
    text = """# The ledger's `why`: a tale

See [this](work.md#a--b) and [that](https://example.org/a_(b)), ![a drawing](x.svg "X"), not `[code](no.md)`.

```text
[none](nowhere.md)
```

[named]: other.md

## A & B
## A & B
"""
    assert links_of(text) == ["work.md#a--b", "https://example.org/a_(b)", "x.svg", "other.md"]
    assert anchors_of(text) == {"the-ledgers-why-a-tale", "a--b", "a--b-1"}


def test_no_page_is_forgotten() -> None:
    from tests.docs.blocks import ROOT, read_pages

    names = {page.name for page in read_pages()}
    assert {"README.md", "CONTRIBUTING.md", "docs/work.md"} <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")} <= names
    assert not [name for name in names if not re.fullmatch(r"[\w./-]+\.md", name)]

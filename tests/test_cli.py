"""The commands that look at lifecycles: what they print, where, and what they exit with.

Each test writes modules of its own into a fresh directory and runs the command there, in a process of its own where
imports or the terminal matter.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stateward.cli import root_group

ROOT = Path(__file__).resolve().parent.parent

COMMANDS = (
    "archive", "attempt", "census", "check", "completion", "create", "db", "dead", "demo", "diagram", "doctor",
    "import", "init", "lifecycles", "list", "pause", "pending", "repair", "resume", "retry", "run", "scxml", "send",
    "show", "stuck", "tail", "timers", "why",
)  # fmt: skip

ORDERS = '''
"""Orders."""
from datetime import timedelta
from stateward import Chart, Context, Event, Final, Lifecycle, State, after, on, chart_of

class Pay(Event):
    amount: int = 0

class Order(Context):
    total: int = 0

def covers_total(order: Order, event: Pay) -> bool:
    return event.amount >= order.total

class OrderLifecycle(Lifecycle[Order]):
    """An order, from checkout to payment."""
    version = 3
    pending = State(initial=True)
    paid = Final()
    expired = Final()
    pay = on(Pay, pending.to(paid, when=covers_total))
    expire = after(timedelta(days=1), pending.to(expired))

order_chart = chart_of(OrderLifecycle)
'''

TICKETS = '''
import time
from orders.lifecycle import Order, Pay
from stateward import Chart, Final, Lifecycle, State, on

class BaseLifecycle(Lifecycle[Order]):
    """Declares nothing yet."""

class TicketLifecycle(BaseLifecycle):
    opened = State(initial=True)
    pay = State()
    closed = Final()
    settle = on(Pay, opened.to(pay), pay.to(closed, when=lambda ticket, event: time.time() > 0))

table = Chart.from_table([("a", Pay, "b")], kind="Table[x]", context=Order, initial="a", final=("b",))
'''

WRONG = """
from orders.lifecycle import Order, Pay
from stateward import Lifecycle, State, on

class WrongLifecycle(Lifecycle[Order]):
    one = State(initial=True)
    two = State(initial=True)
    pay = on(Pay, one.to(two))
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with the package `orders`, whose modules are all well."""
    package = tmp_path / "orders"
    package.mkdir()
    (package / "__init__.py").write_text("from orders.lifecycle import OrderLifecycle\n")
    (package / "lifecycle.py").write_text(ORDERS)
    (package / "__main__.py").write_text("raise SystemExit('was run')\n")
    return tmp_path


def stateward(here: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory, and hold what it exits with against what it should."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV_")}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "stateward.cli", *arguments],
        cwd=here, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def test_help_loads_no_command(here: Path) -> None:
    code = (
        "import sys; sys.argv = ['stateward', '--help']\n"
        "from stateward.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    loaded = set(done.stderr.split())
    assert not {name for name in loaded if name.startswith("stateward.cli.")}
    assert loaded.isdisjoint({"rich", "difflib", "sqlite3", "stateward.chart.lint", "stateward.chart.purity"})


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_of_its_own(name: str) -> None:
    done = CliRunner().invoke(root_group(), [name, "--help"], prog_name="stateward")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: stateward {name} ")


# diagram


def test_a_diagram_goes_to_stdout_and_nothing_else_does(here: Path) -> None:
    done = stateward(here, "diagram", "orders.lifecycle:OrderLifecycle")
    assert done.stdout.startswith("stateDiagram-v2\n")
    assert "    pending --> paid : Pay [covers_total]\n" in done.stdout
    assert "    pending --> expired : after(1 day)\n" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "target", ["orders.lifecycle", "orders", "orders.lifecycle:order_chart", "orders:OrderLifecycle"]
)
def test_a_module_with_one_lifecycle_or_a_chart_will_do(here: Path, target: str) -> None:
    assert (
        stateward(here, "diagram", target).stdout
        == stateward(here, "diagram", "orders.lifecycle:OrderLifecycle").stdout
    )


def test_a_diagram_in_dot_with_the_current_state_marked(here: Path) -> None:
    plain = stateward(here, "diagram", "orders", "--format", "dot").stdout
    marked = stateward(here, "diagram", "orders", "--format", "dot", "--state", "pending").stdout
    assert plain.startswith('digraph "Order" {')
    assert [line for line in marked.splitlines() if line not in plain.splitlines()] == [
        '    "pending" [label="pending", fillcolor="#ffe9a8", color="#b8860b", penwidth=3]'
    ]


def test_each_region_of_a_configuration_is_marked() -> None:
    state = "active.payment.unpaid|active.parcel.packing"
    done = stateward(ROOT, "diagram", "examples.checkout", "--state", state)
    assert "class active_payment_unpaid,active_parcel_packing active\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["orders", "--state", "gone"], "has no state 'gone'; it has expired, paid, pending"),
        (["nowhere.at_all"], "nowhere.at_all can't be imported"),
        (["orders.gone"], "orders.gone can't be imported"),
        (["orders:Gone"], "orders has nothing under the name Gone; its lifecycles: OrderLifecycle"),
        (["orders.lifecycle:covers_total"], "a function, no lifecycle"),
        (["orders/lifecycle.py"], "is no module's name"),
        (["json"], "json holds no lifecycle"),
        (["tickets"], "tickets holds 2 lifecycles: say which"),
        (["tickets:BaseLifecycle"], "no lifecycle with states"),
        (["broken"], "broken can't be imported: ZeroDivisionError: division by zero"),
        (["exits"], "exits can't be imported: SystemExit: 5"),
        (["orders", "--check", "missing.mmd"], "does not exist"),
        (["orders", "--check", "tickets.py", "--output", "new.mmd"], "give one of them"),
    ],
)
def test_a_target_that_is_none_is_a_usage_error(here: Path, arguments: list[str], message: str) -> None:
    (here / "tickets.py").write_text(TICKETS)
    (here / "broken.py").write_text("\n1 / 0\n")
    (here / "exits.py").write_text("raise SystemExit(5)\n")
    done = stateward(here, "diagram", *arguments, code=2)
    assert message in done.stderr
    assert done.stdout == ""


def test_a_target_with_several_lifecycles_lists_them(here: Path) -> None:
    (here / "tickets.py").write_text(TICKETS)
    assert "\n  tickets:TicketLifecycle\n  tickets:table\n" in stateward(here, "diagram", "tickets", code=2).stderr


def test_a_lifecycle_declared_wrongly_is_told_with_its_line(here: Path) -> None:
    (here / "wrong.py").write_text(WRONG)
    done = stateward(here, "diagram", "wrong", code=2)
    assert "has 2 initial states, one, two" in done.stderr


def test_a_drawing_kept_in_a_file_is_compared(here: Path) -> None:
    stateward(here, "diagram", "orders", "--output", "order.mmd")
    assert (here / "order.mmd").read_text() == stateward(here, "diagram", "orders").stdout
    done = stateward(here, "diagram", "orders", "--check", "order.mmd")
    assert (done.stdout, done.stderr) == ("", "")
    (here / "orders" / "lifecycle.py").write_text(ORDERS.replace("days=1", "days=2"))
    done = stateward(here, "diagram", "orders", "--check", "order.mmd", code=1)
    assert done.stdout == ""
    assert "--- order.mmd\n+++ orders:OrderLifecycle\n" in done.stderr
    assert "\n-    pending --> expired : after(1 day)\n+    pending --> expired : after(2 days)\n" in done.stderr


def test_a_drawing_kept_in_a_markdown_page_is_compared_and_renewed(here: Path) -> None:
    page = here / "orders.md"
    other = "```mermaid\nflowchart TD\n    a --> b\n```\n"
    drawing = stateward(here, "diagram", "orders").stdout
    page.write_text(f"# Orders\n\n{other}\n```mermaid\n{drawing}```\n\nMore.\n")
    stateward(here, "diagram", "orders", "--check", "orders.md")
    page.write_text(page.read_text().replace("1 day", "3 days"))
    done = stateward(here, "diagram", "orders", "--check", "orders.md", code=1)
    assert "\n-    pending --> expired : after(3 days)\n" in done.stderr
    assert "flowchart" not in done.stderr
    assert "2 ```mermaid blocks" in stateward(here, "diagram", "orders", "--output", "orders.md", code=2).stderr
    page.write_text(page.read_text().replace(other, ""))
    stateward(here, "diagram", "orders", "--output", "orders.md")
    assert page.read_text() == f"# Orders\n\n\n```mermaid\n{drawing}```\n\nMore.\n"


def test_a_markdown_page_without_a_drawing_has_drifted(here: Path) -> None:
    (here / "orders.md").write_text("# Orders\n")
    done = stateward(here, "diagram", "orders", "--check", "orders.md", "--format", "dot", code=1)
    assert done.stderr == "orders.md has no ```dot block\n"


# lifecycles


def test_the_catalogue_of_a_package_lists_each_lifecycle_once(here: Path) -> None:
    (here / "orders" / "tickets.py").write_text(TICKETS)
    done = stateward(here, "lifecycles", "orders", "-o", "json")
    rows = json.loads(done.stdout)
    assert [(row["class"], row["kind"]) for row in rows] == [
        ("orders:OrderLifecycle", "Order"),
        ("orders.tickets:TicketLifecycle", "Ticket"),
        ("orders.tickets:table", "Table[x]"),
    ]
    (order, *_) = rows
    assert len(order.pop("digest")) == 64
    assert order == {
        "kind": "Order",
        "version": 3,
        "class": "orders:OrderLifecycle",
        "states": 3,
        "events": 1,
        "transitions": 2,
        "description": "An order, from checkout to payment.",
    }
    assert done.stderr == ""


def test_a_catalogue_in_lines_and_in_columns_says_the_same(here: Path) -> None:
    lines = stateward(here, "lifecycles", "orders.lifecycle", "-o", "jsonl").stdout.splitlines()
    (row,) = [json.loads(line) for line in lines]
    head, rule, *rows = stateward(here, "lifecycles", "orders.lifecycle").stdout.splitlines()
    assert head.split() == ["kind", "version", "class", "states", "events", "transitions", "digest", "description"]
    assert set(rule) == {"-", " "}
    digest = row["digest"][:12]
    assert " ".join(rows[0].split()) == (
        f"Order 3 orders.lifecycle:OrderLifecycle 3 1 2 {digest} An order, from checkout to payment."
    )


def test_a_module_that_cannot_be_imported_is_told_beside_the_others(here: Path) -> None:
    (here / "orders" / "broken.py").write_text("\n1 / 0\n")
    (here / "orders" / "typo.py").write_text("def\n")
    (here / "orders" / "wrong.py").write_text(WRONG)
    done = stateward(here, "lifecycles", "orders", code=2)
    assert "orders:OrderLifecycle" in done.stdout
    place = here / "orders" / "broken.py"
    assert f"Error: orders.broken can't be imported: ZeroDivisionError: division by zero ({place}:2)\n" in done.stderr
    assert "Error: orders.typo can't be imported: SyntaxError: " in done.stderr
    assert "Error: orders.wrong can't be imported: DefinitionError: " in done.stderr


def test_a_catalogue_without_lifecycles_is_empty(here: Path) -> None:
    done = stateward(here, "lifecycles", "json", "-o", "json")
    assert (done.stdout, done.stderr) == ("[]\n", "json holds no lifecycle\n")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_a_drawn_table_and_no_color_if_so_wished(here: Path, no_color: str) -> None:
    control, terminal = pty.openpty()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "NO_COLOR": no_color,
        "TERM": "xterm",
        "COLUMNS": "160",
    }
    try:
        subprocess.run(
            [sys.executable, "-m", "stateward.cli", "lifecycles", "orders"],
            cwd=here, env=environment, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, check=True,
        )  # fmt: skip
        text = os.read(control, 65_536).decode()
    finally:
        os.close(control)
        os.close(terminal)
    assert "│ Order" in text
    assert ("\x1b[3" in text) is False or not no_color


# check


def test_what_is_well_gives_no_findings(here: Path) -> None:
    done = stateward(here, "check", "orders")
    assert (done.stdout, done.stderr) == ("1 lifecycle checked: no findings\n", "")
    done = stateward(here, "check", "orders", "-o", "json")
    assert (done.stdout, done.stderr) == ("[]\n", "1 lifecycle checked: no findings\n")


def test_findings_name_rule_place_and_remedy(here: Path) -> None:
    (here / "tickets.py").write_text(TICKETS)
    done = stateward(here, "check", "tickets", "orders", "orders.lifecycle", "-o", "jsonl", code=1)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    place = here / "tickets.py"
    assert [(each["rule"], each["severity"], each["subject"], each["origin"]) for each in findings] == [
        ("SW101", "warning", "pay", f"{place}:11"),
        ("SW301", "warning", "settle:pay", f"{place}:13"),
        ("SW311", "error", "settle:pay", f"{place}:13"),
    ]
    assert {each["lifecycle"] for each in findings} == {"Ticket"}
    assert done.stderr == "3 lifecycles checked: 1 error, 2 warnings\n"


def test_findings_in_columns_name_files_from_here(here: Path) -> None:
    (here / "tickets.py").write_text(TICKETS)
    done = stateward(here, "check", "tickets:TicketLifecycle", code=1)
    head, _, first, *_ = done.stdout.splitlines()
    assert head.split() == ["where", "severity", "rule", "what", "message"]
    assert first.split()[:5] == ["tickets.py:11", "warning", "SW101", "Ticket", "pay"]


def test_a_definition_error_is_a_finding(here: Path) -> None:
    (here / "orders" / "wrong.py").write_text(WRONG)
    row = 'Chart.from_table([("a", Pay, "b")], kind="T", context=Order, initial="a b")'
    (here / "orders" / "wrong_table.py").write_text(
        f"from stateward import Chart\nfrom orders.lifecycle import Order, Pay\n\n{row}\n"
    )
    done = stateward(here, "check", "orders", "-o", "json", code=1)
    wrong, wrong_table = json.loads(done.stdout)
    assert (wrong["rule"], wrong["severity"], wrong["lifecycle"]) == ("SW001", "error", "Wrong")
    assert wrong["message"] == "has 2 initial states, one, two: mark one"
    assert wrong["origin"].startswith(f"{here / 'orders' / 'wrong.py'}:")
    assert wrong_table["origin"] == f"{here / 'orders' / 'wrong_table.py'}:4"
    # The target itself may be the one that is wrong.
    assert json.loads(stateward(here, "check", "orders.wrong", "-o", "json", code=1).stdout) == [wrong]


def test_an_info_is_no_reason_to_fail(here: Path) -> None:
    (here / "endless.py").write_text(
        ORDERS.replace("Final()", "State()").replace("pending.to(expired)", "pending.to(paid)")
    )
    done = stateward(here, "check", "endless", code=1)
    assert "SW201" in done.stdout
    (here / "endless.py").write_text(ORDERS.replace("Final()", "State()"))
    done = stateward(here, "check", "endless")
    assert "SW205" in done.stdout
    assert done.stdout.endswith("\n1 lifecycle checked: 1 info\n")


def test_a_module_that_fails_for_another_reason_is_no_finding(here: Path) -> None:
    (here / "orders" / "broken.py").write_text("import nowhere_at_all\n")
    (here / "orders" / "wrong.py").write_text(WRONG)
    done = stateward(here, "check", "orders", code=2)
    assert "SW001" in done.stdout
    assert "orders.broken can't be imported: ModuleNotFoundError: No module named 'nowhere_at_all'" in done.stderr
    assert "nowhere can't be imported" in stateward(here, "check", "nowhere", code=2).stderr
    assert "Missing argument 'TARGET...'" in stateward(here, "check", code=2).stderr


def test_this_project_keeps_its_own_rules() -> None:
    assert importlib.util.find_spec("stateward.demo")
    assert json.loads(stateward(ROOT, "check", "stateward.demo", "examples", "-o", "json").stdout) == []

"""What a guard or an action may not use, by the dotted name under which Python knows it.

A handler runs again when an event is replayed, when a commit is tried anew, and when a refusal is explained.
So nothing in it may depend on when, where or how often it runs, nor change anything outside.
"""

from __future__ import annotations

import enum

__all__ = ["Impurity", "impurity_of"]


class Impurity(enum.Enum):
    """A kind of thing that makes a handler impure: the rule that forbids it, what it does, what to use instead."""

    CLOCK = ("SW311", "reads a clock", "use meta.now, the time that came with the event")
    CHANCE = ("SW312", "draws by chance", "use meta.random, which draws the same again, or take it from the event")
    ENVIRONMENT = ("SW313", "reads its environment", "take it from the context or the event")
    SLEEP = ("SW314", "sleeps", "waiting is a state with after(...)")
    CONCURRENCY = ("SW315", "starts or steers threads or tasks", "yield an effect, whose handler may do that")
    SET_ORDER = ("SW316", "goes through a set, whose order is another in each process", "use sorted(...)")
    IO = ("SW317", "does I/O", "yield an effect, whose handler does it after the commit")

    @property
    def rule(self) -> str:
        """The id of the rule."""
        return str(self.value[0])

    @property
    def deed(self) -> str:
        """What it does, as the end of a sentence that begins with the handler's name."""
        return str(self.value[1])

    @property
    def remedy(self) -> str:
        """What to use instead."""
        return str(self.value[2])


_BY_KIND: dict[Impurity | None, str] = {
    Impurity.CLOCK: """
        time datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today
        django.utils.timezone.now django.utils.timezone.localtime pendulum.now pendulum.today arrow.now arrow.utcnow
        """,
    Impurity.CHANCE: """
        random secrets uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7 uuid.uuid8 uuid.getnode
        os.urandom os.getrandom posix.urandom posix.getrandom nt.urandom numpy.random
        """,
    Impurity.ENVIRONMENT: """
        os.<_Environ> os.environ os.environb os.getenv os.getenvb os.getpid os.getcwd os.cpu_count os.getlogin
        posix.getpid posix.getcwd posix.cpu_count posix.getlogin nt.getpid nt.getcwd
        platform getpass sys.argv locale socket.gethostname _socket.gethostname contextvars _contextvars
        """,
    Impurity.SLEEP: "time.sleep asyncio.sleep asyncio.tasks.sleep trio.sleep anyio.sleep gevent.sleep",
    Impurity.CONCURRENCY: """
        threading _thread asyncio _asyncio multiprocessing concurrent queue _queue signal _signal
        trio anyio gevent
        """,
    Impurity.IO: """
        os posix nt io.open _io.open builtins.open builtins.print builtins.input builtins.breakpoint
        logging subprocess socket _socket ssl select selectors shutil tempfile glob fileinput
        sqlite3 _sqlite3 dbm shelve requests httpx aiohttp urllib3 urllib.request http.client http.server
        smtplib ftplib imaplib poplib telnetlib xmlrpc.client psycopg psycopg2 pymongo redis boto3 botocore
        sqlalchemy.engine sqlalchemy.orm.session genericpath warnings.warn _warnings.warn
        sys.stdin sys.stdout sys.stderr _io.<TextIOWrapper>
        """,
    # Pure things within the modules above.
    None: """
        os.path os.fspath os.fsencode os.fsdecode posix.fspath nt.fspath genericpath.commonprefix
        time.struct_time random.Random
        """,
}
_KINDS = {name: kind for kind, names in _BY_KIND.items() for name in names.split()}

_PATH_TEXT = """
    absolute chmod cwd exists expanduser glob group hardlink_to home is_block_device is_dir is_fifo is_file is_mount
    is_socket is_symlink iterdir lchmod lstat mkdir open owner read_bytes read_text readlink rename replace resolve
    rglob rmdir samefile stat symlink_to touch unlink walk write_bytes write_text
    """
_PATH_METHODS = frozenset(_PATH_TEXT.split())
"""What a path of pathlib asks the file system; the rest is reckoned from its text."""


def impurity_of(dotted: str) -> Impurity | None:
    """What makes a handler impure that uses what has this dotted name; None: nothing.

    An object that outlives the handler is named by its class in angle brackets, `random.<Random>`: a generator of
    one's own, made from a seed, is pure, one that others draw from is not.
    """
    if dotted.startswith("pathlib.") and dotted.rpartition(".")[2] in _PATH_METHODS:
        return Impurity.IO
    name = dotted
    while name:
        if name in _KINDS:
            return _KINDS[name]
        name = name.rpartition(".")[0]
    return None

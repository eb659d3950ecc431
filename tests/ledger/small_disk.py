"""A file system of a few megabytes, which a test fills up and makes room on again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.ledger.servers import system_user

__all__ = ["MountNotPermitted", "SmallDisk"]


class MountNotPermitted(Exception):
    """This system lets nobody mount what only they see."""


class SmallDisk:
    """A tmpfs in a mount namespace of its own, so that nothing is left of it when the process that holds it has ended.

    Root may make one; others may within a user namespace, in which they are root, where the system has those.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Mount it on a folder, for who enters.

        Raises:
            MountNotPermitted: it can't be.
        """
        self._is_root = os.geteuid() == 0
        namespaces = ["--mount"] if self._is_root else ["--user", "--map-root-user", "--mount"]
        script = 'mount -t tmpfs -o "size=$1,mode=0777" tmpfs "$2" && echo mounted && exec cat'
        try:
            self._holder = subprocess.Popen(
                ["unshare", *namespaces, "sh", "-c", script, "sh", str(bytes_max), str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise MountNotPermitted(str(error)) from error
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "mounted\n":
            raise MountNotPermitted(self._holder.communicate()[1].strip())
        self.seen_from_here = Path(f"/proc/{self._holder.pid}/root{folder}")
        """The folder as it is within."""

    def within(self, command: list[str]) -> list[str]:
        """The same command where the file system is mounted, by a user who is not root."""
        namespaces = f"/proc/{self._holder.pid}/ns"
        if self._is_root:
            user = str(system_user())
            change = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
            return ["nsenter", f"--mount={namespaces}/mnt", *change, *command]
        change = ["unshare", "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}"]
        enter = ["nsenter", f"--user={namespaces}/user", f"--mount={namespaces}/mnt", "--preserve-credentials"]
        return [*enter, *change, *command]

    def fill(self, bytes_left: int) -> None:
        """Leave room for so many bytes."""
        found = os.statvfs(self.seen_from_here)
        size = found.f_bavail * found.f_frsize - bytes_left
        with open(self._ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def make_room(self) -> None:
        """Take away what fills it."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.seen_from_here / "ballast"

    def close(self) -> None:
        """Let it go; servers on it have ended by then."""
        self._holder.communicate()

"""Reading a KFD topology tree, from a folder or an archive, without trusting it.

What comes out is a plain table of texts; nothing is unpacked, no link is followed out of the tree, and every size and
count is bounded before it is believed.
"""

from __future__ import annotations

import errno
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from svmlab.errors import InputError
from svmlab.hardware.description import in_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["KfdTree", "read_tree"]

_LARGEST_FILE = 64 << 10
_LARGEST_ARCHIVE = 128 << 20
_MOST_MEMBERS = 200_000
_MOST_FILES = 50_000
_EXAMPLE = "a folder or .tar.gz with nodes/0/properties, nodes/1/properties, …"
_WANTED = re.compile(
    r"(?P<root>(?:.*/)?)nodes/(?P<node>\d{1,4})/(?:properties|gpu_id|name|(?:io_links|p2p_links|mem_banks)/\d{1,5}/properties)"
)


@dataclass(frozen=True, slots=True)
class KfdTree:
    """The texts of a topology tree.

    Attributes:
        origin: where it was read from.
        files: path below the tree (``"nodes/2/properties"``) to content; only what the importer uses.
        numbered: folder (``"nodes/2/io_links"``) to the paths of its properties files, in the order of their numbers.
        nodes: numbers of the nodes, ascending.
        hidden: numbers of nodes that the system hides (device list of a container); none of their files is here.
    """

    origin: str
    files: dict[str, str]
    numbered: dict[str, list[str]]
    nodes: tuple[int, ...]
    hidden: frozenset[int] = field(default_factory=frozenset)

    def below(self, node: int, kind: str) -> list[str]:
        """Paths of the numbered ``properties`` files of one kind (``"io_links"``, …) of a node, in their order."""
        return self.numbered.get(f"nodes/{node}/{kind}", [])


def read_tree(path: Path) -> KfdTree:
    """Read a topology tree.

    Args:
        path: the ``topology`` folder, its parent, a folder that holds one of them, or a ``.tar.gz`` of any of these.

    Raises:
        InputError: it is no such tree, cannot be read, leaves its folder, or is larger than any real one.
    """
    return _read_folder(path) if path.is_dir() else _read_archive(path)


def _tree(origin: Path, contents: dict[str, bytes], nodes: set[int], hidden: set[int]) -> KfdTree:
    if not nodes:
        raise InputError(f"{origin}: no KFD topology in it", allowed=_EXAMPLE)
    files = {path: _decode(f"{origin}: {path}", content) for path, content in contents.items()}
    numbered: dict[str, list[str]] = {}
    for path in sorted((path for path in files if path.count("/") == 4), key=lambda path: int(path.split("/")[3])):
        numbered.setdefault(path.rsplit("/", 2)[0], []).append(path)
    return KfdTree(str(origin), files, numbered, tuple(sorted(nodes - hidden)), frozenset(hidden))


def _decode(what: str, content: bytes) -> str:
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{what} is too large", allowed=f"up to {_LARGEST_FILE} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{what}: byte {error.start} is not UTF-8", allowed="text, as the driver writes it") from error


def _read_folder(path: Path) -> KfdTree:
    # /sys/class/kfd/kfd/topology is reached through links; from here on none is followed.
    try:
        return _walk_nodes(path, _root(path.resolve(strict=True)))
    except OSError as error:
        raise InputError(f"{error.filename or path}: {error.strerror or error}") from error


def _root(path: Path) -> Path:
    folders = _subfolders(path)
    for candidates in ([path], [path / "topology"], folders, [folder / "topology" for folder in folders]):
        trees = [folder for folder in candidates if _is_folder(folder) and _is_folder(folder / "nodes")]
        if len(trees) > 1:
            raise InputError(f"{path}: more than one KFD topology in it", hint=str(trees[0]))
        if trees:
            return trees[0]
    raise InputError(f"{path}: no KFD topology in it", allowed=_EXAMPLE)


def _walk_nodes(origin: Path, root: Path) -> KfdTree:
    contents: dict[str, bytes] = {}
    folders = {int(f.name): f for f in _subfolders(root / "nodes") if re.fullmatch(r"\d{1,4}", f.name)}
    hidden = {node for node, folder in folders.items() if not _read_node(root, folder, contents)}
    return _tree(origin, contents, set(folders), hidden)


def _read_node(root: Path, folder: Path, contents: dict[str, bytes]) -> bool:
    """Add a node's files; False, and nothing added, where the system hides the node."""
    found: dict[str, bytes] = {}
    try:
        for file in _files(folder):
            found[file.relative_to(root).as_posix()] = _read_file(file)
    except OSError as error:
        # The driver answers EPERM for a GPU that a container may not use; an unreadable file is EACCES.
        if error.errno != errno.EPERM:
            raise
        return False
    contents |= found
    if len(contents) > _MOST_FILES:
        raise InputError(f"{root}: more than {_MOST_FILES} files", allowed="one machine's topology")
    return True


def _files(node: Path) -> Iterator[Path]:
    own = (node / name for name in ("properties", "gpu_id", "name"))
    numbered = (
        entry / "properties"
        for kind in ("io_links", "p2p_links", "mem_banks")
        for entry in _subfolders(node / kind)
        if re.fullmatch(r"\d{1,5}", entry.name)
    )
    yield from (file for group in (own, numbered) for file in group if file.is_file() and not file.is_symlink())


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_FILE + 1)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _subfolders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if _is_folder(entry)) if _is_folder(path) else []


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than an archive of one machine can hold, however small it is when packed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, _LARGEST_ARCHIVE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        content = self._stream.read(min(len(view), 1 << 20))
        self._left -= len(content)
        if self._left < 0:
            raise InputError(f"more than {_LARGEST_ARCHIVE >> 20} MiB when unpacked", allowed="one machine's topology")
        view[: len(content)] = content
        return len(content)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
        # "r|" reads front to back and never seeks, so the bound counts every byte that is unpacked.
        with tarfile.open(fileobj=io.BufferedReader(_Bounded(stream)), mode="r|") as archive:
            yield archive


def _read_archive(path: Path) -> KfdTree:
    try:
        contents = _archive_contents(path)
    except InputError as error:
        raise in_file(path, error) from error
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        allowed = "a KFD topology folder, or a .tar.gz of one"
        raise InputError(f"{path}: no readable archive: {reason}", allowed=allowed) from error
    return _tree(path, contents, {int(name.split("/")[1]) for name in contents}, set())


def _archive_contents(path: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    roots: set[str] = set()
    with _opened(path) as archive:
        for count, member in enumerate(archive):
            if count >= _MOST_MEMBERS or len(contents) > _MOST_FILES:
                raise InputError("too many members", allowed="one machine's topology")
            _take(archive, member, contents, roots)
            archive.members = []  # type: ignore[attr-defined] # or they pile up, and a bomb may have many
    if len(roots) > 1:
        raise InputError(f"more than one KFD topology in it: {', '.join(sorted(roots)[:3])}")
    return contents


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, contents: dict[str, bytes], roots: set[str]) -> None:
    """Keep a member if it belongs to the topology; a link is never followed, whatever it points to."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise InputError(
            f"member {member.name[:80]!r} leaves the archive's folder", allowed="relative names without .."
        )
    match = _WANTED.fullmatch(str(name))
    if match is None or not member.isfile():
        return
    if member.size > _LARGEST_FILE:
        raise InputError(f"member {member.name[:80]!r} is too large", allowed=f"up to {_LARGEST_FILE} bytes")
    file = archive.extractfile(member)
    roots.add(match["root"])
    contents[str(name).removeprefix(match["root"])] = file.read() if file else b""

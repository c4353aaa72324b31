"""C compiled for this machine, once: libraries in a cache folder of the user's.

An entry of the cache is a folder named by what it was made of: sources, options, compiler,
processor. It is made under another name and then renamed, so that two processes may make it at the
same time; one whose checksum is wrong is made anew. The sources that do not change from sensor to
sensor have an entry of their own.

A library from the cache runs with all rights of this process. So it is loaded only from folders
that this user or root owns and nobody else can write, and only if this user owns the file. (Access
control lists beyond the mode are not looked at.)
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from beatlens.c_source.files import c_folder
from beatlens.errors import ModelError

COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-std=c99", "-O3", "-fPIC")
NATIVE = {"x86_64": "-march=native", "aarch64": "-mcpu=native", "arm64": "-mcpu=native"}
"""By processor, the option for all of its instructions."""
CHECKSUM = "sha256"
ATTEMPTS = 3


def build_library(made: Mapping[str, str], sources: Sequence[str]) -> ctypes.CDLL:
    """The library of these C sources, compiled now or before.

    Args:
        made: text by file name, of sources (`.c`) and headers written for this library.
        sources: files of `firmware_export/` that go with them, such as `src/bl_net.c`.

    Raises:
        ModelError: there is no C compiler, it refuses the sources, or the cache folder cannot be
            written or can be written by others.
    """
    folder = cache_folder()
    try:
        root = c_folder()
        core = _product("core.o", ["-r"], {}, [root / name for name in sources])
        return ctypes.CDLL(str(_product("chain.so", ["-shared"], made, [core])))
    except OSError as error:
        raise ModelError(
            f"{folder}: {error}; engine 'c' keeps what it compiles there, expected a folder that "
            "can be written, with room: set XDG_CACHE_HOME, or take another engine"
        ) from error


def has_compiler() -> bool:
    """Whether this machine has a C compiler."""
    return _found() is not None


def cache_folder() -> Path:
    """Where libraries are kept: `$XDG_CACHE_HOME/beatlens/c`, else under ~/.cache.

    Raises ModelError where the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "beatlens" / "c"
    except RuntimeError as error:
        raise ModelError(
            "no home folder is known for what engine 'c' compiles; set HOME or XDG_CACHE_HOME, or "
            "take another engine"
        ) from error


def _found() -> list[str] | None:
    """The compiler's command: that of the variable CC, else the first one installed."""
    for name in filter(None, (os.environ.get("CC"), *COMPILERS)):
        command = shlex.split(name)
        if command and shutil.which(command[0]):
            return command
    return None


def _compiler() -> list[str]:
    command = _found()
    if command is None:
        raise ModelError(
            f"engine 'c' compiles the firmware's C for this machine and found no C compiler "
            f"(looked for the variable CC and {', '.join(COMPILERS)}); install one (Debian: "
            "apt install gcc), or take an engine without: 'litert', 'tflite-runtime', 'simulator'"
        )
    return command


def _product(name: str, options: list[str], made: Mapping[str, str], files: Sequence[Path]) -> Path:
    """The file `name` that the compiler makes with `options` of texts and files, now or before."""
    native = NATIVE.get(platform.machine())
    command = [*_compiler(), *OPTIONS, *([native] if native else []), *options]
    entry = _own_folder(cache_folder()) / _key(command, made, files)
    for _ in range(ATTEMPTS):
        if _is_sound(entry / name):
            return entry / name
        _make(entry / name, command, made, files)
    raise ModelError(f"{entry}: damaged again after each of {ATTEMPTS} attempts to make it")


def _key(command: Sequence[str], made: Mapping[str, str], files: Sequence[Path]) -> str:
    """A hash of everything that a product depends on."""
    root = c_folder()
    read = [*files]
    for pattern in ("include/*.h", "src/*.h", "ports/host/*"):
        read += sorted(root.glob(pattern))
    parts = [*command, _version(tuple(_compiler())), _processor()]
    digest = hashlib.sha256()
    for data in (
        *(part.encode() for part in parts),
        *(part for path in read for part in (path.name.encode(), path.read_bytes())),
        *(part.encode() for name in sorted(made) for part in (name, made[name])),
    ):
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


@cache
def _version(compiler: tuple[str, ...]) -> str:
    """Which compiler it is; the same command may be another one after an upgrade."""
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ModelError(f"{compiler[0]} cannot be run ({error}); engine 'c' needs it") from error
    return f"{shutil.which(compiler[0])} {done.stdout}"


@cache
def _processor() -> str:
    """The processor's instructions: a cache may lie on a disk that several machines share."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return " ".join([platform.machine(), platform.processor(), *dict.fromkeys(named)])


def _own_folder(folder: Path) -> Path:
    """The folder without links in its path, made if it is missing, that nobody else can change.

    Raises ModelError if somebody else owns it or a folder above it, or can write there.
    """
    real = Path(os.path.realpath(folder))
    places = [*reversed(real.parents), real]
    for place in places:
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)
        if reason := _foreign(place.lstat(), last=place == real):
            raise ModelError(
                f"{place} {reason}, and engine 'c' would run what is put into {folder}; expected "
                "a folder that only you can write: set XDG_CACHE_HOME to one, or take another "
                "engine"
            )
    return real


def _foreign(found: os.stat_result, *, last: bool) -> str:
    """How others could change what is in a folder; empty if they could not.

    A folder above may be root's, and one that all may write, such as /tmp, if it is sticky: then
    nobody can rename the folders of others in it.
    """
    if not hasattr(os, "geteuid"):  # Windows: a user's profile is closed to others
        return ""
    user = os.geteuid()
    if found.st_uid != user and (last or found.st_uid != 0):
        return f"belongs to user {found.st_uid}, not to {user}, who runs this"
    sticky = found.st_mode & stat.S_ISVTX and not last
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
        return f"can be written by other users (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def _is_sound(product: Path) -> bool:
    """Whether a file is what this user once wrote there; loading another could do anything."""
    try:
        if _foreign(product.parent.lstat(), last=True):
            return False
        wanted = _read_own(product.parent / CHECKSUM).decode("ascii")
        return wanted == hashlib.sha256(_read_own(product)).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _read_own(path: Path) -> bytes:
    """A file's bytes; OSError if it is a link, no plain file, or can be written by others."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or _foreign(found, last=True):
            raise PermissionError(f"{path} is no plain file of this user's alone")
        return file.read()


def _make(
    product: Path, command: Sequence[str], made: Mapping[str, str], files: Sequence[Path]
) -> None:
    """Compile into a folder beside the product's, which then takes its place."""
    entry = product.parent
    folder = Path(tempfile.mkdtemp(prefix="making-", dir=entry.parent))
    try:
        for name, text in made.items():
            (folder / name).write_text(text, encoding="ascii")
        root, new = c_folder(), folder / product.name
        include = [f"-I{place}" for place in (root / "include", root / "ports/host", folder)]
        sources = [folder / name for name in made if name.endswith(".c")]
        _run([*command, *include, *map(str, [*files, *sources]), "-o", str(new)])
        checksum = folder / CHECKSUM
        checksum.write_text(hashlib.sha256(new.read_bytes()).hexdigest(), encoding="ascii")
        for path in (new, checksum):
            path.chmod(0o600)  # whatever the umask
        if not _is_sound(product):
            shutil.rmtree(entry, ignore_errors=True)
        try:
            folder.rename(entry)
        except OSError:
            # Another process was faster, and the same sources make the same product.
            if not _is_sound(product):
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ModelError(f"{command[0]} cannot be run ({error}); engine 'c' needs it") from error
    if done.returncode:
        raise ModelError(
            f"{command[0]} refuses the firmware's C: {done.stderr.strip()[:500]}; expected a "
            "compiler of C99 such as gcc or clang (set CC), or take another engine"
        )

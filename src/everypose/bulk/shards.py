"""Shards of a bulk run: the shard of an image, and the shard of this process."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from everypose.errors import UsageError

MOST_SHARDS = 100_000
"""Shards of a run at most: each has a folder, and commands list them all."""


@dataclass(frozen=True)
class Shard:
    """One of several parts of a run that are processed independently.

    >>> Shard(3, 16).folder
    'shard-00003-of-00016'

    Attributes:
        index: number of the shard, from 0.
        count: number of shards.
    """

    index: int
    count: int

    @property
    def folder(self) -> str:
        """Name of its folder in the output folder."""
        return f"shard-{self.index:05d}-of-{self.count:05d}"


def parse_shard(text: str) -> Shard:
    """Return the shard of ``INDEX/COUNT``.

    >>> parse_shard("3/16")
    Shard(index=3, count=16)

    Raises:
        UsageError: if it is not two integers with 0 <= INDEX < COUNT <= 100,000.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and len(index + count) < 20 and int(index) < int(count)):
        raise UsageError(f"--shard {text} is not INDEX/COUNT with INDEX from 0 to COUNT - 1, such as 3/16")
    if int(count) > MOST_SHARDS:
        raise UsageError(f"--shard {text}: a run has at most {MOST_SHARDS:,} shards")
    return Shard(int(index), int(count))


def shard_of_job(environment: Mapping[str, str], count: int | None = None) -> Shard:
    """Return the shard of a SLURM array task or an indexed Kubernetes job; 0/1 outside of both.

    Args:
        environment: the process's environment variables.
        count: number of shards; SLURM states its own, Kubernetes does not.

    Raises:
        UsageError: if the number of shards is unknown, or an index is not below it.

    >>> shard_of_job({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"})
    Shard(index=4, count=8)
    """
    if "SLURM_ARRAY_TASK_ID" in environment:
        first = environment.get("SLURM_ARRAY_TASK_MIN", "0")
        number = environment["SLURM_ARRAY_TASK_ID"]
        shards = str(count) if count is not None else environment.get("SLURM_ARRAY_TASK_COUNT", "")
        if number.isdecimal() and first.isdecimal() and int(number) >= int(first):
            number = str(int(number) - int(first))
    elif "JOB_COMPLETION_INDEX" in environment:
        number, shards = environment["JOB_COMPLETION_INDEX"], "" if count is None else str(count)
    else:
        if count not in (None, 1):
            raise UsageError("--shards needs a SLURM array or an indexed Kubernetes job; otherwise give --shard 0/4")
        return Shard(0, 1)
    if not shards:
        raise UsageError("the number of shards is unknown: give --shards COUNT")
    return parse_shard(f"{number}/{shards}")


def keys_of_shard(keys: Iterable[str], shard: Shard) -> list[str]:
    """Return the sorted keys of a shard, chosen by a hash of each key.

    The shard of an image depends on its key only: adding or removing images does not move others to another shard.

    >>> sorted(keys_of_shard("abcdef", Shard(0, 2)) + keys_of_shard("abcdef", Shard(1, 2)))
    ['a', 'b', 'c', 'd', 'e', 'f']
    """
    return sorted(key for key in set(keys) if shard_of_key(key, shard.count) == shard.index)


def shard_of_key(key: str, count: int) -> int:
    """Return the index of a key's shard among ``count`` shards: the same on every machine.

    >>> shard_of_key("photos/a.jpg", 16)
    1
    """
    hashed = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(hashed) % count

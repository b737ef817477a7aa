"""What visitors choose among. Streamlit knows options by their words: of two that read alike, one cannot be had."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from hashlib import blake2s
from typing import TypeVar

Option = TypeVar("Option", bound=Hashable)


def tell_apart(
    options: Iterable[Option], tell: Callable[[Option], str], add: Callable[[Option], str] | None = None
) -> Callable[[Option], str]:
    """Return what tells each option in words of its own.

    Where several read alike, what ``add`` says of each is added, and where that is not enough, a sign. Both are to
    depend on the option alone: numbers in their order would come to mean others with each new option.
    """
    said = {one: tell(one) for one in options}
    counts = Counter(said.values())
    if add is not None:
        said = {one: words if counts[words] < 2 else f"{words} · {add(one)}" for one, words in said.items()}
        counts = Counter(said.values())

    def tell_one(option: Option) -> str:
        words = said[option] if option in said else tell(option)
        return words if counts[words] < 2 else f"{words} · {blake2s(repr(option).encode()).hexdigest()[:6]}"

    return tell_one

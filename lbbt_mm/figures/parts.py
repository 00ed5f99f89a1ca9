"""Long work that can be stopped: parts that are done are kept in a file, and not done again."""
import hashlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, Set

from lbbt_mm.files.whole_files import read_dict, write_whole


def digest(question: Any) -> str:
    """A short name of what a result depends on.

    Args:
        question: Settings, and files with their size and time; JSON has to have it, or text stands for it.
    """
    return hashlib.sha256(json.dumps(question, sort_keys=True, default=str).encode()).hexdigest()


class Parts:
    """Results of the parts of a computation, kept in a JSON file as soon as each is there.

    Args:
        path: The file. One that answers another question is begun anew.
        question: All that the results depend on: settings, and files with their size and time. JSON has to have it.
        writes: Whether new results are kept in the file; False for a dry run. Defaults to True.
    """

    def __init__(self, path: Path, question: Any, writes: bool = True) -> None:
        self.path = path
        self._writes = writes
        self._question = digest(question)
        found = read_dict(path)
        fits = found.get('question') == self._question and isinstance(found.get('parts'), dict)
        self._done: Dict[str, Any] = found['parts'] if fits else {}
        self._asked: Set[str] = set()

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, name: str) -> bool:
        return name in self._done

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The result of a part, computed where it is not there yet.

        Args:
            name: The part.
            compute: Gives its result, which JSON has to have.
        """
        self._asked.add(name)
        if name not in self._done:
            self._done[name] = compute()
            self._write()
        return self._done[name]

    def drop_others(self) -> None:
        """Forget the parts that nothing has asked for since the file was opened, as those of replaced files."""
        others = self._done.keys() - self._asked
        if others:
            self._done = {name: found for name, found in self._done.items() if name not in others}
            self._write()

    def _write(self) -> None:
        if not self._writes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(dict(question=self._question, parts=self._done)))


def stamp(path: Any) -> Dict[str, Any]:
    """What tells a file from a later one of the same name: its path, size and time.

    Args:
        path: The file.
    """
    found = Path(path).stat()
    return dict(path=str(Path(path).resolve()), size=found.st_size, time=found.st_mtime_ns)

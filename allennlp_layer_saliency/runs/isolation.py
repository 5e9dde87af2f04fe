"""Which inputs of a shard kill the processes that explain them."""

from typing import Dict, List, Optional, Sequence, Set

from allennlp_layer_saliency.runs.explainer import Output, Outputs, Shard, failed

# A process may die for reasons of its own, such as a machine that goes away; this often is not chance.
ATTEMPTS = 3


class Task:
    """
    Inputs of a shard that one process explains together.

    # Parameters

    work : `ShardWork`
    places : `Sequence[int]`
        The inputs' in the shard.
    """

    def __init__(self, work: "ShardWork", places: Sequence[int]) -> None:
        self.work = work
        self.places = places
        self.deaths = 0
        self.inputs = [work.shard.inputs[i] for i in places]

    @property
    def suspect(self) -> bool:
        """Whether it, or what it is a part of, has killed processes."""
        return self.deaths > 0 or self.work.halved


class ShardWork:
    """
    A shard on its way to its outputs.

    It is explained as a whole. If that kills `ATTEMPTS` processes, it is halved, and what kills a process
    is halved again, until inputs alone kill `ATTEMPTS` of them. Without these it is explained as a whole
    once more: so no output depends on which processes died of something else.

    # Parameters

    shard : `Shard`
    names : `Sequence[str]`
        The interpreters'.
    """

    def __init__(self, shard: Shard, names: Sequence[str]) -> None:
        self.shard = shard
        self._names = names
        self.outputs: Optional[Outputs] = None
        self._fatal: Set[int] = set()
        self._apart: Dict[int, Dict[str, Output]] = {}
        self._open = 0
        self.halved = False
        self._whole = True

    def begin(self) -> Task:
        return Task(self, range(len(self.shard.inputs)))

    def done(self, task: Task, outputs: Outputs) -> List[Task]:
        """What is to be done next; nothing if `outputs` are there or other tasks are under way."""
        found = {
            place: {name: of_name[i] for name, of_name in outputs.items()}
            for i, place in enumerate(task.places)
        }
        if self._whole:
            self._finish(found)
            return []
        self._apart.update(found)
        self._open -= 1
        return self._together()

    def died(self, task: Task) -> List[Task]:
        """As `done`, after the process that worked on the task has died."""
        task.deaths += 1
        alone = len(task.places) == 1
        if task.deaths < (ATTEMPTS if self._whole or alone else 1):
            return [task]
        if self._whole and self.halved:
            # The inputs can only be explained apart, as when all together need too much memory.
            self._finish(self._apart)
            return []
        if self._whole:
            self._whole, self.halved, self._open = False, True, 1
        if alone:
            self._fatal.add(task.places[0])
            self._open -= 1
            return self._together()
        middle = len(task.places) // 2
        self._open += 1
        return [Task(self, task.places[:middle]), Task(self, task.places[middle:])]

    def _together(self) -> List[Task]:
        if self._open:
            return []
        self._whole = True
        places = [i for i in range(len(self.shard.inputs)) if i not in self._fatal]
        if not places:
            self._finish({})
            return []
        return [Task(self, places)]

    def _finish(self, found: Dict[int, Dict[str, Output]]) -> None:
        message = f"each of {ATTEMPTS} processes that explained this input alone died"
        self.outputs = {
            name: [
                found[place][name] if place in found else failed(item, message)
                for place, item in enumerate(self.shard.inputs)
            ]
            for name in self._names
        }

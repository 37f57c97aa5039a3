"""Registration and execution of scenarios."""

import time
import traceback

SCENARIOS = []


class Scenario:
    """One scenario: its name, and the promise that it tests."""

    def __init__(self, name, promise, act, needs_operator):
        self.name, self.promise, self.act = name, promise, act
        self.needs_operator = needs_operator


def scenario(name, promise, needs_operator=True):
    """Registers a function as a scenario."""

    def register(act):
        SCENARIOS.append(Scenario(name, promise, act, needs_operator))
        return act

    return register


def choose(names):
    """Lists the scenarios of these names, in order of registration; without names, all of them."""
    unknown = [name for name in names if name not in {each.name for each in SCENARIOS}]
    if unknown:
        known = " ".join(each.name for each in SCENARIOS)
        raise SystemExit(f"no scenario {' '.join(unknown)}; there are: {known}")
    return [each for each in SCENARIOS if not names or each.name in names]


def run(chosen, prepare, explain):
    """Runs scenarios and prints a line for each. Calls `prepare` before the first that needs an operator,
    and `explain` after a failure. Returns the number of failures."""
    failed, state, start = [], None, time.monotonic()
    for each in chosen:
        started = time.monotonic()
        try:
            if each.needs_operator and state != "ready":
                assert state is None, "the operator could not be installed; see the first failure"
                state = "missing"
                prepare()
                state = "ready"
                started = time.monotonic()
            each.act()
            verdict = "ok    "
        except Exception as error:  # a scenario may raise anything; the others still run
            failed.append(each)
            verdict = "FAILED"
            frames = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(frames) if "scenarios" in f.filename), frames[-1])
            print(f"--- {each.name}: {type(error).__name__} at {place.filename}:{place.lineno}")
            print(f"    {place.line}\n{error}")
            if each.needs_operator:
                explain()
        seconds = time.monotonic() - started
        print(f"{verdict} {each.name:<12} {seconds:6.1f} s  {each.promise}", flush=True)
    print(f"\n{len(chosen)} scenarios in {time.monotonic() - start:.0f} s")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return len(failed)

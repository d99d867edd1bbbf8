"""`./dev fuzz`: each target for a time, or a number of mutations, from where the last run ended.

What reaches new code is kept in build/fuzz.
"""

from __future__ import annotations

import argparse
import sys

import buildconf
from tests import native
from tests.fuzz import seeds


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help="targets without their fuzz_ (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target (default: 60)")
    parser.add_argument("--runs", type=int, help="mutations of each target, however long they take")
    parser.add_argument("--seed", type=int, default=1, help="another number gives other mutations (default: 1)")
    options = parser.parse_args()
    targets = {path.stem.removeprefix("fuzz_"): path for path in seeds.targets()}
    unknown = sorted(set(options.names) - set(targets))
    if unknown:
        parser.error(f"no target named {', '.join(unknown)}; there are {', '.join(targets)}")
    failures = 0
    for name in options.names or targets:
        print(f"{name:<12} ", end="", flush=True)
        kept = buildconf.ROOT / "build" / "fuzz" / name
        crash = kept.with_suffix(".crash")
        inputs = [*seeds.write(targets[name], kept), "--save", str(kept), "--crash", str(crash)]
        program = native.build_fuzzer(targets[name])
        limits = ["--iterations", str(options.runs)] if options.runs else ["--seconds", str(options.seconds)]
        timeout_s = None if options.runs else options.seconds + 600
        result = native.run(program, *inputs, *limits, "--seed", str(options.seed), timeout_s=timeout_s)
        print(result.stdout.strip() if result.returncode == 0 else f"FAILED\n{result.stderr}")
        if result.returncode != 0:
            failures += 1
            print(f"run it again:  {program} {crash}\nonce it is mended, keep the input in tests/fuzz/corpus/{name}/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

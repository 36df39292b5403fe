"""Measure speed and memory beside other systems; `bench.py --help` lists the options."""

from benchmark.main import main

from bilm.program.running import run_main

if __name__ == "__main__":
    run_main(main)

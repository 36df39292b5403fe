"""What training costs on many devices: `python tools/scaling.py --help`."""

from benchmark.scaling import main

from bilm.program.running import run_main

if __name__ == "__main__":
    run_main(main)

"""Run the scheduler from a checkout: `python main.py [VERB] [OPTIONS]`, without a verb the service."""

from jobscheduler import cli

if __name__ == "__main__":
    raise SystemExit(cli.main(default="serve"))

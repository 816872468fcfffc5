"""`python -m proxy` is `straightwire`."""

from proxy.cli import main

if __name__ == "__main__":
    main()

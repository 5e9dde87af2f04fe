"""`allennlp`, for a Python that reads no .pth files: `python -m allennlp_compatibility` or
`allennlp-saliency`."""

import allennlp_compatibility


def main() -> None:
    allennlp_compatibility.install()
    from allennlp.__main__ import run

    run()


if __name__ == "__main__":
    main()

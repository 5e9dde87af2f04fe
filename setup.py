from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

here = Path(__file__).parent
HOOK = "allennlp_compatibility.pth"


class BuildWithHook(build_py):
    """Puts the hook beside the packages, where Python looks for it when it starts."""

    def run(self) -> None:
        super().run()
        self.copy_file(str(here / HOOK), str(Path(self.build_lib) / HOOK))

    def get_outputs(self, include_bytecode: bool = True) -> Any:
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib) / HOOK)]


class EditableWithHook(editable_wheel):
    """The same for `pip install --editable`, which copies nothing else."""

    def _select_strategy(self, *args: Any) -> Any:
        return _WithHook(super()._select_strategy(*args))


class _WithHook:
    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def __enter__(self) -> Any:
        self._strategy.__enter__()
        return self

    def __exit__(self, *args: Any) -> Any:
        return self._strategy.__exit__(*args)

    def __call__(self, wheel: Any, *args: Any) -> None:
        self._strategy(wheel, *args)
        wheel.write(str(here / HOOK), HOOK)


version = {}
exec((here / "allennlp_layer_saliency" / "version.py").read_text(), version)

setup(
    name="allennlp-layer-saliency",
    version=version["VERSION"],
    description="Decoded layer saliency for AllenNLP classifiers: which words an inner layer's "
    "gradient speaks of",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="allennlp interpretability saliency transformers nlp",
    classifiers=[
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=[
        "allennlp_compatibility",
        *find_packages(include=["allennlp_layer_saliency", "allennlp_layer_saliency.*"]),
    ],
    cmdclass={"build_py": BuildWithHook, "editable_wheel": EditableWithHook},
    entry_points={
        "console_scripts": ["allennlp-saliency = allennlp_compatibility.__main__:main"],
    },
    package_data={
        "allennlp_layer_saliency": ["py.typed"],
        "allennlp_layer_saliency.reports": ["templates/*"],
    },
    python_requires=">=3.8,<3.14",
    install_requires=[
        "allennlp==2.10.1",
        "allennlp-models==2.10.1",
        # AllenNLP 2.10.1 leaves both open, and breaks at import with newer ones.
        "numpy<2",
        "setuptools<81",
        "orjson>=3.6",
        # Both come with AllenNLP; permutation tests are in SciPy from 1.8 on.
        "pandas",
        "scipy>=1.8",
        # spaCy's pydantic 1.8 can't be imported with later ones before Python 3.10.
        "typing-extensions<4.6; python_version < '3.10'",
        # The newest with wheels for Python 3.8; pip would compile later ones.
        "cymem<2.0.9; python_version < '3.9'",
        "lmdb<2; python_version < '3.9'",
        "murmurhash<1.0.11; python_version < '3.9'",
        "preshed<3.0.10; python_version < '3.9'",
        "setproctitle<1.3.8; python_version < '3.9'",
    ],
    extras_require={
        # Later versions need torch 2, which AllenNLP 2.10.1 does not take.
        "captum": ["captum>=0.6,<0.9"],
        # Later versions of both break the version of datasets that AllenNLP 2.10.1 takes.
        "export": ["datasets", "fsspec<2023.10", "pyarrow<21"],
        "head": ["safetensors>=0.3"],
        # 2.10 is the last for Python 3.8; from 2.50 on some refuse the pydantic 1 that spaCy 3.3 needs.
        "ray": ["ray>=2.10,<2.50"],
        "report": ["jinja2>=3", "matplotlib>=3.7"],
        "serve": ["jinja2>=3", "starlette>=0.37", "uvicorn>=0.29"],
        "test": [
            "captum>=0.6,<0.9",
            "fsspec<2023.10",
            "hypothesis>=6",
            "ipykernel",
            "jinja2>=3",
            "matplotlib>=3.7",
            "nbclient",
            "pyarrow<21",
            "pytest>=7",
            "pytest-xdist>=3",
            "ray>=2.10,<2.50",
            "safetensors>=0.3",
            "selenium>=4.10",
            "starlette>=0.37",
            "thermostat-datasets>=1.1",
            "uvicorn>=0.29",
            "wheel",
        ],
    },
)

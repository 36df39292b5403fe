"""Packaging of paddle-elmo; build backend and tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"', (HERE / "bilm/__init__.py").read_text(encoding="utf-8"), re.M
).group(1)

# models that come with the package: see bilm/storage/ready_models.py
READY_MODELS = {"bilm.models": "data/models/bilm", "lac.models": "data/models/lac"}
SERVE = ["fastapi>=0.115,<1", "uvicorn>=0.30,<1", "fastapi-offline>=1.7,<2"]

setup(
    name="paddle-elmo",
    version=VERSION,
    description="Pretrain and use ELMo for Chinese on PaddlePaddle: a port of Baidu's LARK ELMo",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[*find_packages(include=["bilm", "bilm.*", "lac", "lac.*"]), *READY_MODELS],
    package_dir=READY_MODELS,
    package_data={
        "bilm.kernels": ["*.cc", "core/*.cc", "core/*.h"],
        "lac.serving": ["page/*"],
        **{package: ["*/*", "*/*/*"] for package in READY_MODELS},
    },
    python_requires=">=3.9",
    install_requires=[
        "numpy>=1.21",
        "jieba>=0.42.1",
        "h5py>=3.7",
        "tqdm>=4.60",
        "safetensors>=0.4",
        "shtab>=1.10,<2",
    ],
    extras_require={
        # one of these two; they exclude each other
        "cpu": ["paddlepaddle>=2.6.2,<4", "setuptools>=61"],  # the latter compiles operators
        "gpu": ["paddlepaddle-gpu>=2.6.2,<4"],
        "torch": ["torch>=2.2,<3"],
        "onnx": ["torch>=2.7,<3", "onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"],
        "plot": ["matplotlib>=3.7"],
        "rjieba": ["rjieba>=0.1"],
        "serve": SERVE,
        "dev": [
            "pytest>=7", "hypothesis>=6", "ruff>=0.14.1", "build", "matplotlib>=3.7",
            "seqeval>=1.2.2", "pytest-benchmark>=4", "mypy>=1.11",
            *SERVE, "httpx2>=2", "playwright>=1.45", "schemathesis>=4,<5",
        ],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5.30,<10", "mkdocstrings[python]>=0.27,<2"],
    },
    entry_points={"console_scripts": [
        "bilm = bilm.commands.verbs:main", "lac = lac.commands.verbs:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Natural Language :: Chinese (Simplified)",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
    ],
)

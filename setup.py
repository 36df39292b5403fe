"""The packages, which pyproject.toml cannot list; everything else about packaging stands there."""

from setuptools import find_packages, setup

# models that come with the package: see bilm/storage/ready_models.py
READY_MODELS = {"bilm.models": "data/models/bilm", "lac.models": "data/models/lac"}

setup(
    packages=[*find_packages(include=["bilm", "bilm.*", "lac", "lac.*"]), *READY_MODELS],
    package_dir=READY_MODELS,
)

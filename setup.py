from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="picture-a-minute",
    version="1.1.0",
    description="A picture every minute: a Luigi pipeline that stores random Unsplash photos as files",
    long_description=Path("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["pipeline*"]),
    package_data={"pipeline": ["py.typed", "*.cfg"], "pipeline.page": ["*.html", "*.css", "*.js"]},
    entry_points={"console_scripts": ["picture-a-minute = pipeline.__main__:main"]},
    python_requires=">=3.10",
    install_requires=["luigi>=3.8.1", "pillow>=11", "python-dotenv>=1.0", "requests>=2.32.2", "tqdm>=4.66", "urllib3>=2.2.3"],
    extras_require={
        "monitor": ["prometheus_client>=0.26", "sqlalchemy>=1.4.54,<2"],
        "s3": ["boto3>=1.36"],
        "test": ["hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3.6"],
        "dev": [
            "picture-a-minute[monitor,s3,test]",
            "axe-playwright-python>=0.1.8",
            "moto[server]>=5.1",
            "mypy>=2.4",
            "playwright>=1.65",
            "ruff>=0.17",
            "tree-sitter>=0.25",
            "tree-sitter-javascript>=0.25",
            "types-requests>=2.33",
            "types-tqdm>=4.70",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)

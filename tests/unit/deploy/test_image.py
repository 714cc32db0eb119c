"""The image's recipe: what a build cannot show on a machine without a container engine."""

import re

from tests.support.templates import DEPLOY

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def locked(name: str) -> dict[str, str]:
    """Package -> version, of one requirements file."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_base_is_named_by_the_builder_and_both_stages_stand_on_it():
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert re.search(r"^ARG PYTHON_IMAGE$", DOCKERFILE, re.MULTILINE)


def test_the_program_is_process_1_and_not_root():
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert 'ENTRYPOINT ["/opt/exporter/bin/python", "-m", "exporter"]' in last
    assert "USER 65532:65532" in last


def test_dependencies_are_a_layer_below_the_program():
    assert DOCKERFILE.index("--require-hashes") < DOCKERFILE.index("COPY exporter")


def test_what_the_image_is_made_of_is_let_in_and_nothing_else():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY ([\w.-]+) ", DOCKERFILE, re.MULTILINE)
    assert sorted(copied) == sorted(allowed)


def test_the_image_the_zip_and_the_tests_use_the_same_versions():
    tested = locked("requirements-dev.txt")
    run = locked("requirements-run.txt")
    image = locked("requirements-image.txt")
    assert run.items() <= tested.items()
    assert run.items() <= image.items()
    runtime = {"awslambdaric", "simplejson", "snapshot-restore-py"}
    telemetry = set(image) - set(run) - runtime
    assert runtime < set(image)
    assert "opentelemetry-sdk" in telemetry
    assert {name: image[name] for name in telemetry}.items() <= tested.items()

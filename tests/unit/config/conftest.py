import pytest
from moto import mock_aws


@pytest.fixture
def aws(monkeypatch):
    """AWS in this process: moto's mock, empty at first."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield

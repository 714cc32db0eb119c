"""Looks locked packages up in a database of known vulnerabilities: `make audit`.

    python -m tests.audit PIP_AUDIT REQUIREMENTS

Fails where a package has a known vulnerability. Where the database cannot be asked - no network, or a package index
that has none - it says so and does not fail, since nothing was found out.
"""

import argparse
import json
import subprocess
import sys

#: In all. A database that takes longer is taken for one that cannot be asked.
TIMEOUT_S = 120


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 1 with a line for each vulnerability."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pip_audit")
    parser.add_argument("requirements")
    options = parser.parse_args(arguments)
    command = [options.pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    command += ["--timeout", "10", "--format", "json", "--requirement", options.requirements]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        packages = json.loads(answer.stdout)["dependencies"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        print(f"audit: skipped, the database of vulnerabilities cannot be asked for {options.requirements}")
        return 0
    known = [package for package in packages if "vulns" in package]
    print(f"audit: {options.requirements}: {len(known)} of {len(packages)} packages looked up")
    for package in known:
        for found in package["vulns"]:
            mend = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"audit: {package['name']} {package['version']}: {found['id']}, mended in {mend}", file=sys.stderr)
    return int(any(package["vulns"] for package in known))


if __name__ == "__main__":
    raise SystemExit(main())

"""dlt as its documentation shows it: a declared REST API, an offset paginator, Parquet files in a folder."""

import sys

import dlt
from dlt.sources.rest_api import rest_api_source

base_url, out = sys.argv[1:]
source = rest_api_source(
    {
        "client": {"base_url": base_url, "paginator": {"type": "offset", "limit": 100, "total_path": "total"}},
        "resources": [
            {
                "name": "strikes",
                "endpoint": {"path": "data", "params": {"format": "json"}, "data_selector": "rows"},
            }
        ],
    }
)
pipeline = dlt.pipeline(
    "strikes",
    pipelines_dir=f"{out}/work",
    destination=dlt.destinations.filesystem(f"file://{out}"),
    dataset_name="lake",
)
pipeline.run(source, loader_file_format="parquet")
rows = pipeline.last_trace.last_normalize_info.row_counts["strikes"]
print(rows)

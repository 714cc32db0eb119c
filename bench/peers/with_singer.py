"""A tap of singer-sdk that writes Parquet batches, which is the fastest way that it has."""

import sys

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseOffsetPaginator

base_url, out = sys.argv[1:]


class Pages(BaseOffsetPaginator):
    def has_more(self, response):
        return self.current_value + self._page_size < response.json()["total"]


def named(*names):
    kinds = {"id": th.IntegerType}
    return th.ObjectType(*(th.Property(name, kinds.get(name, th.StringType)) for name in names))


class Strikes(RESTStream):
    name = "strikes"
    path = "/data"
    url_base = base_url
    records_jsonpath = "$.rows[*]"
    primary_keys = ()
    schema = th.PropertiesList(
        th.Property("customer", named("id", "name", "email")),
        th.Property("status", th.StringType),
        th.Property("attendance", named("status")),
        th.Property("rule", named("applies_to")),
        th.Property(
            "event",
            th.ObjectType(
                th.Property("offering_type", named("id", "name")),
                th.Property("venue", named("id", "name")),
                th.Property("start_time", th.StringType),
            ),
        ),
        th.Property("customer_membership", th.ObjectType(th.Property("membership", named("id", "name")))),
        th.Property("day_of_week", th.StringType),
        th.Property("count", th.IntegerType),
    ).to_dict()

    def get_new_paginator(self):
        return Pages(0, 100)

    def get_url_params(self, _context, next_page_token):
        return {"format": "json", "offset": next_page_token or 0, "limit": 100}


class StrikesTap(Tap):
    name = "tap-strikes"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Strikes(self)]


StrikesTap(
    config={
        "flattening_enabled": True,
        "flattening_max_depth": 3,
        "batch_config": {
            "encoding": {"format": "parquet", "compression": "gzip"},
            "storage": {"root": f"file://{out}"},
        },
    }
).sync_all()

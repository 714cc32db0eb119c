"""The file that `exporter init` writes: what must be said is said, each default stands behind a `#` without a space."""

from typing import Final

STARTER: Final = """\
# Configuration of exporter. A line that begins with "#" and a name is a default: remove the "#" to change it.
# Any key can also be set by an environment variable: EXPORTER__SINK__URL, EXPORTER__STUDIOS__0__TIMEZONE, ...
# "exporter doctor" tells whether all of this works; "exporter plan" tells what a run would ask for.

# One table for each business. The token is never written here, only where it is found:
# env:NAME, file:PATH, ssm:/path, or secretsmanager:name-or-arn with #key behind it if the secret is a JSON object.
[[studios]]
id = "my-studio"                  # your own name for it: letters, digits, "_" and "-"
token = "env:TEAMUP_TOKEN"
timezone = "Europe/London"        # IANA name; days begin at its midnights (default UTC)
# provider_id = 5404319           # which business, where the token reaches several

[windows]
start = "2025-01-01"              # first local day
end = "today"                     # first local day that is not included; a date, or "today"
#every = "month"                  # day, week (from Monday), month or year
#lookback_days = 35               # windows younger than this are fetched again

# One table for each dataset.
[[reports]]
name = "attendance_strikes.grouped"
#dataset = "attendance_strikes_grouped"   # folder and table name
#columns = ["customer_id", "status", "attendance_status", "offering_type_id", "offering_type_name",
#           "venue_id", "venue_name", "day_of_week", "event_start_time", "count"]
#pivot = "all"                    # all, year, month or week: split the counts over periods
#max_pivot_columns = 4            # 1 to 12
# Filters; without one, everything is exported.
#status = []                      # open, voided, expired, in_penalty_sequence, upcoming_charge, charged, charge_skipped
#attendance_status = []           # late_cancel, no_show
#rule_applies_to = []             # no_shows, late_cancels, late_cancels_or_no_shows
#customers = []                   # ids
#memberships = []                 # ids
#offering_types = []              # ids
#venues = []                      # ids
# penalty = 7                     # one id

[sink]
url = "./lake"                    # a folder, file:///path, or s3://bucket/prefix
#compression = "zstd"             # zstd, snappy or none
#endpoint_url = ""                # of an S3-compatible store
#kms_key_id = ""                  # encrypt with this key (SSE-KMS)
#expected_bucket_owner = ""       # AWS account that the bucket must belong to
#allow_http = false               # true: a plain http endpoint on another host, where anyone on the way reads the rows
#readable_by = "owner"            # owner, group or all: who may read what is written into a folder

[run]
#reconcile = "warn"               # where the API's own total of a studio differs: warn or fail; off: do not ask for it
#when_busy = "wait"               # where another run uses a token: wait until it has ended, or skip (report "busy")

[notify]
#target = ""                      # ARN of an SNS topic or an EventBridge bus that is told when a run has ended

[privacy]
#drop = []                        # columns never written, e.g. ["customer_email"]
#hash = []                        # columns written as keyed hashes
#hash_key = ""                    # the key's reference, e.g. "env:EXPORTER_HASH_KEY"

[api]
#base_url = "https://goteamup.com/api/v2"
#auth_scheme = "Bearer"           # Bearer, Token or JWT: the word before the token
#requests_per_minute = 250        # per token, in any sliding minute
#spread = false                   # true: even spacing instead of as early as allowed
#max_connections = 32             # in all
#timeout = 30.0                   # seconds for one attempt
#max_attempts = 8                 # per page, for errors that may pass
#format = "json"                  # json or csv
#page_size = 100                  # 1 to 100
#pagination = "offset"            # offset (limit, offset) or page (page, page_size)
#list_style = "comma"             # comma (a,b), repeat (columns=a&columns=b) or brackets (columns[]=a)
#studio_headers = true            # say which business is meant, and that a provider asks
#allow_http = false               # true: plain http to other hosts, where anyone on the way can read the token
"""

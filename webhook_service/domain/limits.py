"""Limits on what is taken in, kept and handed out. Lengths are in characters."""

MESSAGE_ID_MAX = 255
PARTY_MAX = 255  # of a sender or recipient: a phone number, or a name or ID of the provider's own
PROVIDER_MAX = 32
SOURCE_MAX = 32  # of a source's name
WORD_MAX = 64  # of a type, a status or a reason
CONSUMER_NAME_MAX = 64
TOKEN_MAX = 32  # of the token that names a lease
TEXT_MAX = 4096  # of the text in a native payload
SEARCH_MAX = 1000  # of the text to search for, which has to fit into the first line of a request

ROW_ID_MAX = 2**63 - 1  # the largest integer in both databases

QUARANTINE_MAX_BYTES = 2**30  # that a source's deliveries may take in quarantine, unless the settings say otherwise
PROBLEMS_MAX = 100  # problems of a delivery that are named

PAGE_DEFAULT = 50  # items on a page of a list
PAGE_MAX = 100
FEED_DEFAULT = 100  # messages on a page of the feed
FEED_MAX = 1000
WAIT_MAX = 25  # seconds; nginx gives up at 30
TIMELINE_MAX = 1000  # intervals in an answer

CONSUMERS_MAX = 100  # of each kind
LEASES_MAX = 100  # leases that a consumer may have at once
ATTEMPTS_MAX = 100
LEASE_DEFAULT = 100  # messages in a lease
LEASE_MAX = 1000
LEASE_SECONDS_DEFAULT = 30
LEASE_SECONDS_MAX = 12 * 60 * 60
LAG_MAX = 10_000  # messages up to which a consumer's lag is counted
RETRIES_COUNTED_MAX = 10_000  # retries of a destination up to which they are counted
DEAD_REASON_MAX = 1000
CONCURRENCY_MAX = 256  # pushes of one forwarder to one destination at a time

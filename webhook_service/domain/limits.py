"""Limits on what is taken in, kept and handed out. Lengths are in characters."""

MESSAGE_ID_MAX = 255
ADDRESS_MAX = 255  # of a sender or recipient: a phone number, or a name or ID of the provider's own
PROVIDER_MAX = 32
SOURCE_MAX = 32  # of a source's name
WORD_MAX = 64  # of a type, a status or a reason
CONSUMER_NAME_MAX = 64
TOKEN_MAX = 32  # that names a lease
TEXT_MAX = 4096  # of the text in a native payload
SEARCH_MAX = 1000  # of a search, which has to fit into the first line of a request

ROW_ID_MAX = 2**63 - 1  # what both databases take for an integer

QUARANTINE_MAX_BYTES = 2**30  # that a source's deliveries in quarantine may take, unless set
PROBLEMS_MAX = 100  # that are named of a delivery

PAGE_DEFAULT = 50  # items of a list
PAGE_MAX = 100
FEED_DEFAULT = 100  # messages
FEED_MAX = 1000
WAIT_MAX = 25  # seconds; nginx gives up at 30
TIMELINE_MAX = 1000  # intervals

CONSUMERS_MAX = 100  # of a kind
LEASES_MAX = 100  # that a consumer may have at once
ATTEMPTS_MAX = 100
LEASE_DEFAULT = 100  # messages
LEASE_MAX = 1000
LEASE_SECONDS_DEFAULT = 30
LEASE_SECONDS_MAX = 12 * 60 * 60
LAG_MAX = 10_000  # messages that are counted of a consumer's lag
DEAD_REASON_MAX = 1000
CONCURRENCY_MAX = 256  # pushes at once of a forwarder to one destination

"""Texts that a page must show as they are."""

HOSTILE_TEXTS = (
    "<script>window.hacked = true</script>",
    "<img src=x onerror='window.hacked = true'>",
    "</textarea></title></style><svg onload=window.hacked=true>",
    '" autofocus onfocus="window.hacked = true',
    "' hx-on:click='window.hacked = true' x='",
    "{{ 7 * 7 }} {% raw %} ${7*7} <%= 7*7 %>",
    "javascript:window.hacked=true",
    "&lt;b&gt; &amp;amp; &#60;script&#62;",
    "<!-- --><![CDATA[ ]]><a href='tel:+4930123456'>call</a>",
    "right\u202eto left\u2066 and \u2067back\u202c",
    "zero\u200bwidth\u200d\ufeff\u2060joined",
    "Zalgo Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f4\U000e0067\U000e0062\U000e007f",
    "Call +49 30 123456 or mail a@example.com",
    "x" * 4096,
)

"""What strangers write to do harm where it is shown."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = (
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "<b onclick='x'>", "</td></table>", "<!--", "-->"),
    *("&lt;b&gt;", "&#60;", "{{ 7 * 7 }}", "{% raw %}", "javascript:alert(1)", "<https://evil.example>", "]]>"),
    *("[a](https://evil.example)", "![a](https://evil.example/x.png)", "[a]: https://evil.example", "[^1]", "[ ]"),
    *("https://evil.example/?a=b&c", "www.evil.example", "me@evil.example", "HTTP://EVIL.example", "ftp://evil.example"),
    *("`", "``", "```", "~~~", "**", "__", "_a_", "*a*", "~~a~~", "|", "\\|", "\\", "\\\\"),
    *("# a", "> a", "- a", "1. a", "---", "===", "    a"),
    *("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "$x^2$", ":smile:"),
    *("[/nope]", "[link=https://evil.example]a[/link]", "[red]", "[/]", "\\[red]"),
    *("<!channel>", "<!here>", "<@U123>", "<https://evil.example|a>", "&amp;"),
    *("\x1b[31m", "\x1b]52;c;eA==\x07", "\x1b]8;;https://evil.example\x1b\\a", "\x9b31m", "\x07", "\x08"),
    *("\x7f", "\x00", "\x0c"),
    *("\n", "\r", "\r\n", "\n\n", "\x85", "\u2028", "\u2029", "\x1d", "\t"),
    *("\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\xad", "\U000e0041", "\ud800", "\ufffe"),
    *("\u0301" * 5, "é", "日本", "\U0001f600", "a" * 3000, " ", "", "word"),
)  # fmt: skip

texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), min_size=1, max_size=6).map("".join)

"""How Markdown and formulas become nodes, in the browser that shows them."""

import json
import random
from typing import Any

import pytest
from playwright.async_api import Page

from .payloads import PAYLOADS

pytestmark = pytest.mark.asyncio(loop_scope="session")

_IMPORT = 'await import(new URL("web/text/markdown.js", document.baseURI))'
_RENDER = f"""async (texts) => {{
  const {{ renderMarkdown }} = {_IMPORT};
  return texts.map((text) => {{
    const place = document.createElement("div");
    place.append(...renderMarkdown(text));
    return place.innerHTML.replaceAll(/ (?:rel|target|title|tabindex|role|aria-label)="[^"]*"/g, "");
  }});
}}"""

MARKDOWN = {
    "plain text": "<p>plain text</p>",
    "a\nb": "<p>a<br>b</p>",
    "a\n\nb": "<p>a</p><p>b</p>",
    "# One\n### Three ###": "<h3>One</h3><h5>Three</h5>",
    "#hashtag": "<p>#hashtag</p>",
    "**b** *i* ~~d~~ `c`": "<p><strong>b</strong> <em>i</em> <del>d</del> <code>c</code></p>",
    "***bi***": "<p><strong><em>bi</em></strong></p>",
    "__b__ _i_ snake_case_name": "<p><strong>b</strong> <em>i</em> snake_case_name</p>",
    "**a *b***, 2 * 3 * 4, **open": "<p><strong>a <em>b</em></strong>, 2 * 3 * 4, **open</p>",
    "``a ` b`` and ` x `": "<p><code>a ` b</code> and <code>x</code></p>",
    r"\*not\* \_this\_ \<b\>": "<p>*not* _this_ &lt;b&gt;</p>",
    "&lt;b&gt; &amp; &#65; &#x42; &unknown;": "<p>&lt;b&gt; &amp; A B &amp;unknown;</p>",
    "a<br>b": "<p>a<br>b</p>",
    "<b>x</b>": "<p>&lt;b&gt;x&lt;/b&gt;</p>",
    "[t](https://a.example/b?c=d&e)": '<p><a href="https://a.example/b?c=d&amp;e">t</a></p>',
    "[**t**](https://a.example 'title')": '<p><a href="https://a.example/"><strong>t</strong></a></p>',
    "[t](<https://a.example/b c>)": '<p><a href="https://a.example/b%20c">t</a></p>',
    "[t](https://a.example/(x))": '<p><a href="https://a.example/(x)">t</a></p>',
    "see https://a.example/x_y_z.": '<p>see <a href="https://a.example/x_y_z">https://a.example/x_y_z</a>.</p>',
    "(https://a.example/)": '<p>(<a href="https://a.example/">https://a.example/</a>)</p>',
    "<mailto:a@b.example>": '<p><a href="mailto:a@b.example">mailto:a@b.example</a></p>',
    "![alt](https://a.example/x.png)": '<p><a href="https://a.example/x.png">Image: alt</a></p>',
    "[t](/path) [t](ftp://x) [t]": "<p>[t](/path) [t](ftp://x) [t]</p>",
    "- a\n- b\n  - c\n- d": "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "1. a\n\n   more\n2. b": "<ol><li><p>a</p><p>more</p></li><li><p>b</p></li></ol>",
    "text\n- a\n- b\n\nafter": "<p>text</p><ul><li>a</li><li>b</li></ul><p>after</p>",
    "> a\n> > b\n\nc": "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote><p>c</p>",
    "a\n\n---\n\n***": "<p>a</p><hr><hr>",
    "|a|b|\n|:-:|--:|\n|1|`x|y`|": '<div class="table"><table><thead><tr><th class="to-center" scope="col">a</th>'
    '<th class="to-end" scope="col">b</th></tr></thead><tbody><tr><td class="to-center">1</td>'
    '<td class="to-end"><code>x|y</code></td></tr></tbody></table></div>',
    "a | b\nno table": "<p>a | b<br>no table</p>",
    "costs $5 and $6": "<p>costs $5 and $6</p>",
}
FORMULAS = {
    "x^2": "<msup><mi>x</mi><mn>2</mn></msup>",
    "x_{i}^{n+1}": "<msubsup><mi>x</mi><mrow><mi>i</mi></mrow><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msubsup>",
    r"\frac12": "<mfrac><mn>1</mn><mn>2</mn></mfrac>",
    r"\sqrt[3]{x}": "<mroot><mrow><mi>x</mi></mrow><mrow><mn>3</mn></mrow></mroot>",
    r"\alpha \leq \Omega": "<mi>α</mi><mo>≤</mo><mi>Ω</mi>",
    r"\sum_i^n i": '<munderover><mo data-limits="true">∑</mo><mi>i</mi><mi>n</mi></munderover><mi>i</mi>',
    r"\mathbb{R} \mathcal L": "<mi>ℝ</mi><mi>ℒ</mi>",
    r"f''": "<msup><mi>f</mi><mo>′′</mo></msup>",
    r"\text{if } x": "<mtext>if&nbsp;</mtext><mi>x</mi>",
    r"\left( a \right.": '<mrow><mo stretchy="true" fence="true">(</mo><mrow><mi>a</mi></mrow></mrow>',
    r"\begin{matrix} a & b \\ c \end{matrix}": "<mrow><mtable><mtr><mtd><mrow><mi>a</mi></mrow></mtd>"
    "<mtd><mrow><mi>b</mi></mrow></mtd></mtr><mtr><mtd><mrow><mi>c</mi></mrow></mtd></mtr></mtable></mrow>",
}
NOT_SERVED = [
    r"\foo{x}",
    r"\frac{1}",
    "{",
    "}",
    r"\begin{matrix} a",
    r"\begin{tikz}x\end{tikz}",
    "x^",
    "{" * 60 + "}" * 60,
    r"\left(",
    "&",
]


async def rendered(page: Page, *texts: str) -> list[str]:
    found: list[str] = await page.evaluate(_RENDER, list(texts))
    return found


async def test_markdown_is_shown_as_its_readers_expect(page: Page) -> None:
    assert dict(zip(MARKDOWN, await rendered(page, *MARKDOWN), strict=True)) == MARKDOWN


async def test_code_is_shown_as_it_is_and_can_be_copied(page: Page) -> None:
    (found,) = await rendered(page, "~~~python\nx = '<b>'\n\n```\n~~~\nafter")
    assert "<span>python</span>" in found
    assert "<pre><code>x = '&lt;b&gt;'\n\n```</code></pre>" in found
    assert found.endswith("<p>after</p>")


async def test_formulas_are_mathml(page: Page) -> None:
    found = await rendered(page, *[f"$${formula}$$" for formula in FORMULAS])
    inner = [each.partition("<mrow>")[2].rpartition("</mrow></math>")[0] for each in found]
    assert dict(zip(FORMULAS, inner, strict=True)) == FORMULAS


async def test_what_is_not_known_of_a_formula_leaves_it_as_it_was_written(page: Page) -> None:
    found = await rendered(page, *[rf"\({formula}\)" for formula in NOT_SERVED])
    assert [each.startswith('<p><code class="tex">') for each in found] == [True] * len(NOT_SERVED)


async def test_formulas_are_marked_in_four_ways(page: Page) -> None:
    inline, both = (await rendered(page, r"$x$ and \(x\)"))[0], await rendered(page, "$$\nx\n$$", r"\[x\]")
    assert inline.count('<math display="inline"') == 2
    assert all('<math display="block"' in each for each in both)


_GROW = """async ([text, cuts]) => {
  const { MarkdownStream } = await import(new URL("web/text/stream.js", document.baseURI));
  const { renderMarkdown } = await import(new URL("web/text/markdown.js", document.baseURI));
  const [grown, whole] = [document.createElement("div"), document.createElement("div")];
  const stream = new MarkdownStream(grown);
  for (const cut of [...cuts, text.length]) {
    stream.set(text.slice(0, cut));
    stream.flush();
  }
  whole.append(...renderMarkdown(text));
  return [grown.innerHTML, whole.innerHTML];
}"""


async def test_a_text_that_grows_is_shown_as_the_whole_one_wherever_it_is_cut(page: Page) -> None:
    draw = random.Random(7)
    pieces = [
        *MARKDOWN,
        *PAYLOADS,
        *[f"$${formula}$$" for formula in FORMULAS],
        "```\nx\n\ny\n```",
        "- a\n\n  b\n\n- c",
    ]
    for _ in range(40):
        text = draw.choice(["\n\n", "\n"]).join(draw.sample(pieces, 8))
        cuts = sorted(draw.sample(range(len(text)), min(25, len(text))))
        grown, whole = await page.evaluate(_GROW, [text, cuts])
        assert grown == whole, (text, cuts)


LONG = [
    *("*a " * 20_000, "**" * 20_000, "[" * 20_000, "`" * 20_000 + "x", "$a " * 20_000, "> " * 5_000, "- " * 5_000),
    *("_a" * 20_000, "#" + " " * 20_000 + "x", "|" * 20_000 + "\n" + "|-" * 20_000, "[a](" * 10_000, "<" * 40_000),
    *("\\(" * 20_000, "![" * 20_000, "$$" + "{" * 3_000, "https://a" * 4_000, "1. a\n" * 5_000, "~" * 20_000 + "`"),
]


async def test_no_text_takes_longer_than_its_length_calls_for(page: Page) -> None:
    """Generous by far: what goes through the rest of it for each character takes a minute."""
    took: list[float] = await page.evaluate(
        f"""async (texts) => {{
          const {{ renderMarkdown }} = {_IMPORT};
          return texts.map((text) => {{
            const begun = performance.now();
            renderMarkdown(text);
            return performance.now() - begun;
          }});
        }}""",
        LONG,
    )
    assert [text[:8] for text, each in zip(LONG, took, strict=True) if each > 5000] == []


async def test_events_are_read_wherever_a_stream_is_cut(page: Page) -> None:
    stream = (
        ": hello\r\ndata: one\r\n\r\ndata: two\ndata: lines\n\nid: x\ndata:1\r\rretry: 5\n\n: wait\n\ndata: [DONE]\n\n"
    )
    found: Any = await page.evaluate(
        """async (stream) => {
          const { EventParser } = await import(new URL("web/core/sse.js", document.baseURI));
          const ways = [];
          for (let first = 0; first <= stream.length; first += 1) {
            for (const second of [first, first + 1, first + 7, stream.length]) {
              const parser = new EventParser();
              const comments = [];
              const [middle, last] = [stream.slice(first, second), stream.slice(Math.max(first, second))];
              const parts = [stream.slice(0, first), middle, last];
              const events = parts.flatMap((part) => parser.push(part, (said) => comments.push(said)));
              ways.push(JSON.stringify([events, comments]));
            }
          }
          return [...new Set(ways)];
        }""",
        stream,
    )
    assert [json.loads(each) for each in found] == [[["one", "two\nlines", "1", "[DONE]"], ["hello", "wait"]]]

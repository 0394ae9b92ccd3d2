"""News and guides of the invented product Tarn: path -> (title, HTML of the article)."""

from __future__ import annotations

NEWS: dict[str, tuple[str, str]] = {
    "/news/": (
        "News about Tarn",
        """
<p>What happened around Tarn, newest first. The list is also a <a href="/feed.xml">feed</a>.</p>
<p>Releases come every four months or so; advisories come when they must. Everything else here is told
because somebody asked for it on the mailing list.</p>""",
    ),
    "/news/tarn-2-1": (
        "Tarn 2.1 brings tide tables",
        """
<p>Tarn 2.1 was released on 14 September 2026. It predicts tides from the readings themselves: after 60
days of water levels the function <code>tide</code> knows thirty-seven constituents of a harbour.</p>
<p>The release also halves the memory of the block cache index and repairs a fault that let an alert clear
too early after a restart.</p>""",
    ),
    "/news/tarn-2-0": (
        "Tarn 2.0: a new segment format",
        """
<p>Tarn 2.0, released on 3 March 2026, stores a reading in 1.7 bytes instead of 2.9. The new format is
called Gravel and carries a checksum for every block.</p>
<p>Old segments are rewritten in the background. On a laptop with 40 GB of readings that took us three and
a half hours.</p>""",
    ),
    "/news/tarn-1-9": (
        "Tarn 1.9 is the last of its line",
        """
<p>Tarn 1.9 is out. It is the last release of the first line and will get security fixes until the end of
June 2027. Its one new thing is a command that tells whether a machine is ready for 2.0.</p>""",
    ),
    "/news/advisory-2026-02": (
        "Advisory: keys in the log",
        """
<p>Versions 1.6 to 1.8 wrote writer keys into the log when the level was set to chatty. Version 1.8.1
removes them. We advise to rotate keys after the upgrade and to delete old logs.</p>
<p>The fault was found during a review of our own and given the number TARN-2026-02. No use of it is
known.</p>""",
    ),
    "/news/flood-winter": (
        "What the winter flood taught us",
        """
<p>In January the river Ems rose by four metres within a day, and 212 gauges reported into a single Tarn
machine at ten times their usual rate. The machine kept up at 31 percent of one core.</p>
<p>What did not keep up was a webhook behind one of the alerts. Since then messages to the same address are
bundled, at most one every ten seconds.</p>""",
    ),
    "/news/survey": (
        "The survey of 2026",
        """
<p>We asked and 640 people answered. Two thirds run Tarn on a machine with less than 2 GB of memory, and
the most wished-for feature is a calendar of missing readings.</p>
<p>One answer in nine came from a school. We had not expected that and will write a guide for them.</p>""",
    ),
    "/news/gathering": (
        "Tarn gathering in Uppsala",
        """
<p>The second gathering takes place in Uppsala from 20 to 22 May 2027, in the old brick hall beside the
river. Talks are twenty minutes long and are recorded.</p>
<p>Entrance is free. Whoever wants to give a talk sends half a page before the end of January.</p>""",
    ),
}

GUIDES: dict[str, tuple[str, str]] = {
    "/guides/": (
        "Guides",
        """
<p>Longer texts that go from an empty desk to something that works. Each was tried by someone who had
never used Tarn before, and where they stumbled the text was changed.</p>""",
    ),
    "/guides/weather-station": (
        "Build a garden weather station",
        """
<p>This guide uses a small single-board computer, a temperature and humidity sensor and a rain gauge with a
tipping bucket.</p>
<h2>Mount the sensor</h2>
<p>Put the thermometer 2 metres above grass, in the shade and away from walls. A screen of white plates
keeps the sun off; painting it costs nothing and gains half a degree of truth.</p>
<h2>Count the rain</h2>
<p>Every tip of the bucket stands for 0.2 millimetres of rain. Write one reading per tip with the value
0.2 and sum them with <code>every 1d sum</code>.</p>""",
    ),
    "/guides/river-gauge": (
        "From a bridge to a graph",
        """
<p>A radar gauge under a bridge, a solar panel of 10 watts and a LoRa radio are enough to watch a small
river for years.</p>
<h2>Ask first</h2>
<p>Most bridges belong to a road authority. Expect eight weeks for the permission and bring a drawing.</p>
<h2>Power</h2>
<p>The gauge sleeps between readings. With one reading every ten minutes the battery lasts 19 days without
sun, which was enough for three winters in a row.</p>""",
    ),
    "/guides/dashboard": (
        "A dashboard without a server",
        """
<p>The page behind this guide is a single HTML file that asks Tarn directly.</p>
<pre><code class="language-javascript">const answer = await fetch("/v2/query", {method: "POST", body: "from garden/* last 1d every 10m mean"});
draw(await answer.json());</code></pre>
<p>Redraw at most once every 30 seconds: readings do not come faster, and an old tablet on the wall stays
cool.</p>""",
    ),
    "/guides/moving-from-csv": (
        "Moving from spreadsheets",
        """
<p>Many people come to Tarn with ten years of readings in spreadsheets. The command
<code>tarn import</code> reads CSV files with a time in the first column.</p>
<h2>Dates</h2>
<p>Say how dates are written with <code>--dates day-first</code> or <code>--dates month-first</code>. Tarn never
guesses, because a guess is right for twelve days of each month only.</p>
<h2>Speed</h2>
<p>An import runs at about 900,000 readings a second on a plain laptop. Mark the basin as archive first,
otherwise old readings are refused.</p>""",
    ),
    "/guides/school": (
        "Tarn in the classroom",
        """
<p>Four lessons of 45 minutes, for pupils from twelve years on. They build a sensor, leave it outside for a
week, and compare what they expected with what was measured.</p>
<p>The best discussions came from the outlier that every class gets: a reading of 85 degrees, which is what
the sensor says when its cable is loose.</p>""",
    ),
}

PAGES: dict[str, tuple[str, str]] = {
    "/": (
        "Tarn, a store for weather and water",
        """
<p>Tarn keeps the readings of weather stations and river gauges on one small machine, for decades, and
answers in milliseconds. It is free software.</p>
<p>Start with the <a href="/docs/">documentation</a>, read the <a href="/news/">news</a> or follow one of the
<a href="/guides/">guides</a>. There is a <a href="/files/gauge-datasheet.pdf">data sheet</a> of our reference
gauge, too.</p>
<p>Also here: <a href="/about">about the project</a>, <a href="/prices">prices of the hardware kit</a>,
<a href="/seen/strasse">a page in Latin-1</a>, <a href="/old-docs">the old address of the documentation</a>,
<a href="/missing">a page that is gone</a>, <a href="/broken">a page that is broken</a>,
<a href="/slow">a slow page</a>, <a href="/private/plans">plans</a>, <a href="/drafts/next">a draft</a>,
<a href="/docs/installation">a second address of the installation</a>,
<a href="/metadata">a door that leads nowhere good</a>, <a href="/around">a road that goes around</a>,
<a href="http://elsewhere.test/tarn">a site of somebody else</a> and
<a href="mailto:list@tarn.test">the mailing list</a>.</p>""",
    ),
    "/about": (
        "About the Tarn project",
        """
<p>Tarn began in 2019 as a notebook of water levels at a mill pond and was rewritten twice since. The name
is an old word for a small mountain lake.</p>
<p>The project is carried by an association with its seat in Bergen. It has no investors and sells one
thing, the hardware kit.</p>""",
    ),
    "/prices": (
        "Prices of the hardware kit",
        """
<p>The kit holds a radar gauge, a radio, a solar panel and all screws.</p>
<table>
<tr><th>Kit</th><th>Price</th><th>Delivery</th></tr>
<tr><td>Brook</td><td>240 euros</td><td>two weeks</td></tr>
<tr><td>River</td><td>415 euros</td><td>two weeks</td></tr>
<tr><td>Harbour</td><td>980 euros</td><td>ten weeks</td></tr>
</table>
<p>Schools pay a third less. A broken kit is repaired free of charge for six years.</p>""",
    ),
}

LATIN1 = (
    "Straßenpegel in Köln",
    """
<p>Der Straßenpegel in Köln mißt seit 1998 die Höhe des Wassers über der Uferstraße. Überflutet wurde sie
zuletzt im Februar, als der Pegel 8,76 Meter zeigte.</p>
<p>Tarn speichert diese Werte alle zehn Minuten; die Bürger können sie ohne Schlüssel abfragen.</p>""",
)
DRAFT = (
    "Draft of what comes next",
    "<p>This draft says that Tarn 3.0 will be called Scree. It is not meant for readers yet.</p>",
)
PRIVATE = ("Plans", "<p>These plans are closed to crawlers by robots.txt.</p>")
SLOW = (
    "A slow page",
    "<p>This page takes a moment because it sums the readings of a whole decade: 8.4 billion of them.</p>",
)
DATASHEET = (
    "Data sheet of the reference gauge",
    "The reference gauge RG-7 measures from 0.45 to 15 metres.",
    "Its accuracy is 2 millimetres and it draws 38 milliwatts.",
    "The housing is rated IP68 and weighs 640 grams.",
)

"""The documentation of Tarn, a product invented for the tests: path -> (title, HTML of the article)."""

from __future__ import annotations

DOCS: dict[str, tuple[str, str]] = {
    "/docs/": (
        "Tarn documentation",
        """
<p>Tarn is a small time-series store for weather stations and river gauges. It keeps readings on one
machine, answers queries in milliseconds and needs no service beside it. These pages tell how to
install it, how to feed it and how to look after it.</p>
<h2>Where to begin</h2>
<ul>
<li>New here? Read <a href="/docs/install">Installation</a> and then the
<a href="/docs/quickstart">Quick start</a>.</li>
<li>Running Tarn already? See <a href="/docs/configuration">Configuration</a>,
<a href="/docs/backup">Backup</a> and <a href="/docs/limits">Limits</a>.</li>
<li>Writing a client? The <a href="/docs/api">HTTP interface</a> is one page long.</li>
</ul>""",
    ),
    "/docs/install": (
        "Installing Tarn",
        """
<p>Tarn is a single program without dependencies. Packages exist for Debian, Fedora and Alpine; on any
other Linux unpack the archive and put the program <code>tarnd</code> on the path.</p>
<h2>What the machine needs</h2>
<p>Tarn needs 96 MB of memory and 40 MB of disk for the program itself. A reading takes about 1.7 bytes
on disk once it is compacted, so a station that measures ten values a minute fills 9 MB a year.</p>
<h2>Install on Debian</h2>
<pre><code class="language-bash">apt install tarn
systemctl enable --now tarnd
tarn status</code></pre>
<p>The service listens on port 7461 of the loopback interface until told otherwise. The first start
creates the folder <code>/var/lib/tarn</code> and an administrator key, printed once.</p>
<h2>Other systems</h2>
<p>Windows is not supported. On macOS Tarn runs for trials, but the watchdog is switched off there.</p>""",
    ),
    "/docs/quickstart": (
        "Quick start with Tarn",
        """
<p>This page takes five minutes. At the end a thermometer writes into Tarn and a query reads it back.</p>
<h2>Create a basin</h2>
<p>Readings live in basins. A basin is a named group of series that share one retention rule. Create the
first one with <code>tarn basin create garden</code>.</p>
<h2>Write a reading</h2>
<pre><code class="language-bash">tarn write garden/air.temperature 21.4
tarn write garden/air.humidity 58</code></pre>
<h2>Read it back</h2>
<pre><code class="language-sql">from garden/air.temperature
last 1h
every 5m mean</code></pre>
<p>The answer comes as a table in the terminal, or as JSON with <code>--json</code>. When no reading falls
into a window, the window is left out rather than filled with zero.</p>""",
    ),
    "/docs/configuration": (
        "Configuration of Tarn",
        """
<p>Tarn reads <code>/etc/tarn/tarn.conf</code> at start and again on the signal HUP. Unknown keys stop the
start with a message that names the line.</p>
<h2>Settings</h2>
<table>
<tr><th>Key</th><th>Default</th><th>Meaning</th></tr>
<tr><td>listen</td><td>127.0.0.1:7461</td><td>address of the HTTP interface</td></tr>
<tr><td>flush_seconds</td><td>12</td><td>longest time a reading waits in memory before it is on disk</td></tr>
<tr><td>max_basins</td><td>64</td><td>how many basins may exist</td></tr>
<tr><td>query_timeout</td><td>20</td><td>seconds after which a query is ended</td></tr>
<tr><td>log_level</td><td>notice</td><td>quiet, notice or chatty</td></tr>
</table>
<h2>Environment</h2>
<p>Every key can be given as a variable with the prefix <code>TARN_</code>. Variables win over the file. The
administrator key is never read from a variable, only from the file named by <code>key_file</code>.</p>""",
    ),
    "/docs/storage": (
        "How Tarn stores readings",
        """
<p>Tarn writes readings to a journal first and to segments later. The journal is a file that only grows;
a segment is a sorted, compressed file that never changes once it is written.</p>
<h2>The journal</h2>
<p>Each journal is closed at 32 MB and turned into a segment. After a power cut Tarn reads the journal
from the last mark and drops a torn final record; no reading that was acknowledged is lost.</p>
<h2>Segments</h2>
<p>Times are stored as differences of differences and values by the bits that changed since the one
before. Every block of 4,096 readings carries a checksum that is verified on each read.</p>
<h2>On which file systems</h2>
<p>Use ext4 or XFS. Network file systems are refused at start because their locks can not be trusted.</p>""",
    ),
    "/docs/retention": (
        "Retention rules",
        """
<p>A retention rule says how long readings are kept and at which resolution. It belongs to a basin.</p>
<h2>The default rule</h2>
<p>Without a rule of its own a basin keeps raw readings for 400 days and hourly means for 12 years.
The numbers were chosen so that a year can be compared with the one before in full detail.</p>
<h2>Change a rule</h2>
<pre><code class="language-bash">tarn basin retain garden --raw 90d --hourly 5y</code></pre>
<p>A shorter rule takes effect at the next sweep, which runs at 03:40 local time. Until then the command
<code>tarn basin undo garden</code> takes the change back.</p>""",
    ),
    "/docs/compaction": (
        "Compaction",
        """
<p>Compaction merges small segments into larger ones, so that a query opens few files. It runs beside
normal work and gives way to it.</p>
<h2>When it starts</h2>
<p>Compaction starts when a basin holds more than eight segments of the same tier. It uses one thread and
at most 24 MB a second of disk bandwidth, a limit called the drip.</p>
<h2>When it goes wrong</h2>
<p>A compaction that was interrupted leaves files ending in <code>.part</code>. They are removed at the next
start and cost nothing but space.</p>""",
    ),
    "/docs/query": (
        "The query language",
        """
<p>A Tarn query is read from top to bottom: where from, which time, how it is grouped, and what is done
with each group.</p>
<h2>Steps</h2>
<ol>
<li><code>from</code> names one series or a pattern with <code>*</code>.</li>
<li><code>last</code> or <code>between</code> picks the time.</li>
<li><code>every</code> cuts the time into windows and names a function for each.</li>
<li><code>where</code> drops windows that do not fit.</li>
</ol>
<h2>Joining series</h2>
<p>Two series are joined with <code>beside</code>. Readings pair up when they lie at most 30 seconds apart;
the option <code>within</code> changes that tolerance.</p>
<h2>Time zones</h2>
<p>Windows of a day begin at midnight UTC unless the query ends with <code>zone</code> and the name of a time
zone.</p>""",
    ),
    "/docs/functions": (
        "Functions for windows",
        """
<p>These functions turn the readings of one window into one value.</p>
<table>
<tr><th>Function</th><th>Answers</th></tr>
<tr><td>mean</td><td>the average, weighted by how long each value held</td></tr>
<tr><td>peak</td><td>the largest value and its time</td></tr>
<tr><td>slope</td><td>the change per hour by least squares</td></tr>
<tr><td>gap</td><td>the longest silence in seconds</td></tr>
<tr><td>exceed(x)</td><td>how many minutes the value lay above x</td></tr>
</table>
<p>The function <code>slope</code> needs at least five readings in the window and answers nothing with
fewer. The function <code>median</code> was removed in Tarn 2.0 because it could not be computed from
hourly means; use <code>quantile(0.5)</code> on raw readings.</p>""",
    ),
    "/docs/gauges": (
        "Connecting river gauges",
        """
<p>A gauge sends its readings over LoRa, a serial line or HTTP. Tarn comes with drivers for all three.</p>
<h2>Radar gauges</h2>
<p>Radar gauges measure the distance to the water. Give the height of the sensor above the river bed with
<code>datum</code> and Tarn stores the depth instead. The driver discards echoes closer than 45 centimetres,
because those come from the bridge rail.</p>
<h2>Pressure gauges</h2>
<p>A pressure gauge needs the air pressure as well. Name a barometer series with <code>vent</code>; without
one the readings are stored but flagged <code>unvented</code>.</p>""",
    ),
    "/docs/alerts": (
        "Alerts",
        """
<p>An alert is a query with a threshold, tried once a minute. When it holds, Tarn sends a message; when it
stops holding, Tarn sends another.</p>
<h2>Avoiding flutter</h2>
<p>The option <code>calm</code> keeps an alert from going on and off: it clears only after the value stayed
below the threshold for that long. The default calm is 15 minutes.</p>
<h2>Where messages go</h2>
<p>Messages go to a webhook, by e-mail or into a file. A webhook that fails is tried again six times over
two hours, then the alert is marked undelivered and shown in red by <code>tarn status</code>.</p>""",
    ),
    "/docs/backup": (
        "Backup and restore",
        """
<p>A backup of Tarn is a copy of its segments plus the journal. It can be taken while readings arrive.</p>
<h2>Take a backup</h2>
<pre><code class="language-bash">tarn backup /mnt/vault/tarn --since last</code></pre>
<p>With <code>--since last</code> only new segments are copied. Because a segment never changes, hard links to
the earlier backup save the space of all others.</p>
<h2>Restore</h2>
<p>Stop the service, run <code>tarn restore /mnt/vault/tarn</code> and start it again. A restore checks every
block before it replaces anything and takes about two minutes for 10 GB. Practise it once a quarter.</p>""",
    ),
    "/docs/replication": (
        "Replication",
        """
<p>Tarn copies its segments to one follower, the mirror. The mirror answers queries but takes no readings.</p>
<h2>Set up a mirror</h2>
<p>On the second machine put <code>mirror_of = http://first:7461</code> into the configuration. The mirror
asks for new segments every 90 seconds, so it lags by a minute and a half at most in quiet times.</p>
<h2>Take over</h2>
<p>When the first machine is lost, run <code>tarn promote</code> on the mirror. Promotion is never automatic:
with two machines nobody can tell a dead neighbour from a cut cable.</p>""",
    ),
    "/docs/security": (
        "Security of a Tarn machine",
        """
<p>Tarn knows two kinds of keys. A writer key may add readings to one basin. An administrator key may do
everything. Keys are stored as hashes and shown once.</p>
<h2>Rotation</h2>
<p>Run <code>tarn key rotate</code> to make a new key. The old one stays valid for 72 hours so that stations
in the field can be told the new one on their next contact.</p>
<h2>Transport</h2>
<p>Tarn speaks plain HTTP on loopback only. To be reached from elsewhere it must be given a certificate;
without one it refuses to listen on any other interface.</p>""",
    ),
    "/docs/api": (
        "HTTP interface",
        """
<p>All of Tarn can be used over HTTP. Bodies are JSON; times are seconds since 1970 or ISO 8601.</p>
<h2>Write</h2>
<pre><code class="language-http">POST /v2/basins/garden/readings
Authorization: Key w_4f...

[{"series": "air.temperature", "time": 1790000000, "value": 21.4}]</code></pre>
<p>One request carries at most 5,000 readings. A larger one is answered with 413 and nothing of it is
stored.</p>
<h2>Read</h2>
<p>Send the text of a query to <code>POST /v2/query</code>. Long answers come in pages of 10,000 windows; the
header <code>Tarn-Next</code> carries the address of the next page.</p>""",
    ),
    "/docs/cli": (
        "Command line",
        """
<p>The program <code>tarn</code> talks to the service over its HTTP interface.</p>
<table>
<tr><td>tarn status</td><td>health, lag, undelivered alerts</td></tr>
<tr><td>tarn write</td><td>add one reading</td></tr>
<tr><td>tarn query</td><td>run a query from a file or the prompt</td></tr>
<tr><td>tarn doctor</td><td>check every segment and repair what can be repaired</td></tr>
</table>
<p>The command <code>tarn doctor</code> exits with code 3 when it found damage that only a backup can heal.</p>""",
    ),
    "/docs/limits": (
        "Limits",
        """
<p>Every limit of Tarn is listed here, so that nobody finds one by surprise.</p>
<ul>
<li>A series name has at most 120 characters.</li>
<li>A basin holds at most 20,000 series.</li>
<li>Readings older than seven days are refused unless the basin is marked <code>archive</code>.</li>
<li>A query touches at most 50 million readings.</li>
</ul>
<p>Limits on memory follow the machine: the block cache takes a quarter of it and never more than 2 GB.</p>""",
    ),
    "/docs/troubleshooting": (
        "Troubleshooting",
        """
<h2>The service does not start</h2>
<p>The message <em>lock is held</em> means that another tarnd uses the same folder. The message
<em>clock moved back</em> means that the time of the machine lies before the newest reading: set the clock
or start once with <code>--accept-clock</code>.</p>
<h2>Queries are slow</h2>
<p>Look at the number of segments with <code>tarn status --segments</code>. More than two hundred in one
basin point to a disk too slow for compaction; raise the drip.</p>
<h2>Readings arrive twice</h2>
<p>A station that repeats itself does no harm: a reading with the same series and time replaces the
earlier one.</p>""",
    ),
    "/docs/upgrade": (
        "Upgrading",
        """
<p>Install the new package and restart the service. Tarn converts its files step by step in the background
and can be used meanwhile.</p>
<h2>From 1.x to 2.x</h2>
<p>Upgrade to 1.9 first. The step to 2.0 rewrites every segment and needs free space of 1.3 times the
largest basin. There is no way back once the first segment is rewritten, so take a backup.</p>""",
    ),
    "/docs/glossary": (
        "Glossary",
        """
<dl>
<dt>Basin</dt><dd>A named group of series under one retention rule.</dd>
<dt>Drip</dt><dd>The bandwidth that compaction may use.</dd>
<dt>Mirror</dt><dd>A machine that follows another and answers queries.</dd>
<dt>Sill</dt><dd>The newest time up to which all readings of a basin are on disk.</dd>
<dt>Vent</dt><dd>The barometer series that corrects a pressure gauge.</dd>
</dl>""",
    ),
}

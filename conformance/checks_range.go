package conformance

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// rangeChecks are about resuming the download of an archive, as `wget --continue` does.
func rangeChecks() []check {
	return []check{
		eachArchive("length", EvidenceObserved, "Archives come with their Content-Length.", checkURLsLength),
		eachArchive("head", EvidenceObserved, "HEAD of an archive has its size, and the other headers that GET has.",
			checkURLsHead),
		eachArchive("range", EvidenceObserved, "A Range in the middle gives HTTP 206 with just those bytes.",
			checkURLsRange),
		eachArchive("range-rest", EvidenceObserved, "A Range without an end gives the rest.", checkURLsRangeRest),
		eachArchive("range-last", EvidenceObserved, "A Range of the last bytes gives those.", checkURLsRangeLast),
		eachArchive("range-behind", EvidenceObserved,
			"A Range behind the end is HTTP 416: what wget --continue gets for a complete file.",
			checkURLsRangeBehind),
		eachArchive("etag", EvidenceObserved, "Archives have an ETag that stays the same.", checkURLsETag),
		eachArchive("last-modified", EvidenceObserved, "Archives have a Last-Modified that stays the same.",
			checkURLsLastModified),
		eachArchive("if-range", EvidenceObserved,
			"If-Range with the ETag gives the part; with another ETag, the whole.", checkURLsIfRange),
		eachArchive("content-disposition", EvidenceObserved,
			"Content-Disposition has a file's name; for the original, the one given to create.",
			checkURLsContentDisposition),
		eachArchive("upgraded-filename", EvidenceAssumed,
			"Content-Disposition of the upgraded archive has the name it has over SFTP.", checkURLsUpgradedFilename),
	}
}

func checkURLsLength(c *checker, _ *lifecycle, _ string, whole raw.Answer) {
	if whole.Length != whole.Size {
		c.wrong(whole.What, fmt.Sprintf("Content-Length: %d", whole.Size),
			fmt.Sprintf("%q", whole.Header.Get("Content-Length")))
	}
}

func checkURLsHead(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	a := c.request("HEAD", u)
	if a.Status != 200 || a.Length != whole.Size || a.Size != 0 {
		c.wrong(a.What, fmt.Sprintf("HTTP 200, Content-Length: %d and no body", whole.Size),
			fmt.Sprintf("HTTP %d, Content-Length: %d, %d bytes", a.Status, a.Length, a.Size))
	}
	for _, h := range []string{"Etag", "Last-Modified"} {
		if a.Header.Get(h) != whole.Header.Get(h) {
			c.wrong(a.What, h+" as of GET: "+whole.Header.Get(h), fmt.Sprintf("%q", a.Header.Get(h)))
		}
	}
}

func checkURLsRange(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	from := int(whole.Size) / 4
	to := min(from+1000, int(whole.Size))
	c.part(c.fetch(u, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1)), whole.Body, from, to)
	c.part(c.fetch(u, "Range", "bytes=0-0"), whole.Body, 0, 1)
}

func checkURLsRangeRest(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	n := int(whole.Size)
	c.part(c.fetch(u, "Range", fmt.Sprintf("bytes=%d-", n/2)), whole.Body, n/2, n)
	c.part(c.fetch(u, "Range", fmt.Sprintf("bytes=%d-%d", n-1, n+1000)), whole.Body, n-1, n)
}

func checkURLsRangeLast(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	n := int(whole.Size)
	last := min(100, n)
	c.part(c.fetch(u, "Range", fmt.Sprintf("bytes=-%d", last)), whole.Body, n-last, n)
}

func checkURLsRangeBehind(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	a := c.fetch(u, "Range", fmt.Sprintf("bytes=%d-", whole.Size))
	if a.Status != http.StatusRequestedRangeNotSatisfiable {
		c.wrong(a.What, "HTTP 416", fmt.Sprintf("HTTP %d, %d bytes", a.Status, a.Size))
	}
}

func checkURLsETag(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	tag := whole.Header.Get("Etag")
	if len(tag) < 3 || !strings.HasSuffix(tag, `"`) || !strings.HasPrefix(strings.TrimPrefix(tag, "W/"), `"`) {
		c.wrong(whole.What, "an ETag in quotes", fmt.Sprintf("%q", tag))
	}
	if again := c.fetch(u).Header.Get("Etag"); again != tag {
		c.wrong(whole.What+" again", "the ETag "+tag, again)
	}
}

func checkURLsLastModified(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	at := whole.Header.Get("Last-Modified")
	if _, err := http.ParseTime(at); err != nil {
		c.wrong(whole.What, "Last-Modified", fmt.Sprintf("%q", at))
	}
	if again := c.fetch(u).Header.Get("Last-Modified"); again != at {
		c.wrong(whole.What+" again", "Last-Modified "+at, again)
	}
}

func checkURLsIfRange(c *checker, _ *lifecycle, u string, whole raw.Answer) {
	tag := whole.Header.Get("Etag")
	if strings.HasPrefix(tag, "W/") {
		tag = whole.Header.Get("Last-Modified") // a weak tag can't stand in If-Range
	}
	if tag == "" {
		c.blocked("urls/etag", "there is no ETag")
	}
	c.part(c.fetch(u, "Range", "bytes=1-", "If-Range", tag), whole.Body, 1, int(whole.Size))
	a := c.fetch(u, "Range", "bytes=1-", "If-Range", `"another"`)
	if a.Status != 200 || !a.Is(whole.Body) {
		c.wrong(a.What, "HTTP 200 and the whole file", fmt.Sprintf("HTTP %d, %d bytes", a.Status, a.Size))
	}
}

func checkURLsContentDisposition(c *checker, j *lifecycle, u string, whole raw.Answer) {
	name, got := dispositionName(whole)
	want := j.req.filename()
	if name != want && (u == c.reachable(text(j.field("original_dump_url"))) || name == "") {
		c.wrong(whole.What, "Content-Disposition with a filename such as "+want, fmt.Sprintf("%q", got))
	}
}

func checkURLsUpgradedFilename(c *checker, j *lifecycle, u string, whole raw.Answer) {
	name, got := dispositionName(whole)
	want := upgradedName(j.req.filename(), j.field("filestore") == true)
	if name != want && u == c.reachable(text(j.field("upgraded_dump_url"))) {
		c.wrong(whole.What, "Content-Disposition with the filename "+want, fmt.Sprintf("%q", got))
	}
}

// dispositionName is the file name in Content-Disposition, and the header itself.
func dispositionName(a raw.Answer) (name, header string) {
	header = a.Header.Get("Content-Disposition")
	if _, p, err := mime.ParseMediaType(header); err == nil {
		name = p["filename"]
	}
	return name, header
}

package dump

import (
	"context"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// What Sniff reads at most. A dump whose facts lie further on is described without them.
const (
	sniffRead     = 256 << 20 // of the file
	sniffUnpacked = 64 << 20  // out of each decompressor
)

// Sniff describes the dump that r holds, size bytes of it. It never fails: what it does not find is empty. It reads
// at most 256 MiB of r and 64 MiB out of each decompressor, seeks straight to the two tables it wants where the
// format allows it, and stops as soon as it knows all. It is safe for concurrent use as far as r is.
func Sniff(r io.ReaderAt, size int64) (info Info) {
	// The decoders belong to others: whatever a file does to them, an upload does not fail over it.
	defer func() {
		if recover() != nil && info.Compressions == nil {
			info.Compressions = []string{}
		}
	}()
	sniff(r, size, &info)
	return info
}

func sniff(r io.ReaderAt, size int64, info *Info) {
	// The error is why there is no more to be seen.
	o, _ := open(context.Background(), &medium{r: &meter{r: r, left: sniffRead}}, size, forSniff, limits{
		unpacked: sniffUnpacked,
		searched: sniffRead,
		spooled:  sniffUnpacked,
		sniffing: true,
	})
	defer o.close()
	info.Compressions = append([]string{}, o.finding.packings...)
	if o.finding.kind != nothing {
		info.Compressions = append(info.Compressions, "sql")
	}

	var f facts
	if o.finding.manifest != nil {
		f.version = o.finding.manifest.version
	}
	switch {
	case o.archive != nil:
		f.server = o.archive.ServerVersion
		f.scanArchive(o.archive)
	case o.text != nil:
		f.scan(o.text)
	}
	if f.server == "" && o.finding.manifest != nil {
		f.server = o.finding.manifest.server
	}
	f.describe(info)
}

var postgresqlVersion = regexp.MustCompile(`^(\d{1,3})(?:\.(\d{1,3}))?`)

// postgresqlName shortens a server's version to what names its series: two numbers until 9.6, one since 10.
func postgresqlName(version string) string {
	m := postgresqlVersion.FindStringSubmatch(strings.TrimSpace(version))
	if m == nil {
		return ""
	}
	if major, _ := strconv.Atoi(m[1]); major >= 10 || m[2] == "" {
		return m[1]
	}
	return m[1] + "." + m[2]
}

// odooVersion takes the series from versions such as 8.0-20150909, 8.0.1.3, saas~14.3+e, 10.saas~15.1.3.
var odooVersion = regexp.MustCompile(`^(?:\d{1,3}\.)?saas[~-]\d{1,3}(?:\.\d{1,3})?|^(\d{1,3})\.\d{1,3}`)

// odooName shortens a version of Odoo, or of its module base, to what names the series; empty when it is none. The
// module alone was numbered from 1.0 before OpenERP 6.0, which does not name the series.
func odooName(version string) string {
	m := odooVersion.FindStringSubmatch(strings.TrimSpace(version))
	if m == nil {
		return ""
	}
	if major, _ := strconv.Atoi(m[1]); m[1] != "" && major < 4 {
		return ""
	}
	if strings.Contains(m[0], ".saas") { // 10.saas~15.1.3: behind the series the module's own number begins
		series, _, _ := strings.Cut(strings.SplitN(m[0], ".", 2)[1], ".")
		return series
	}
	return m[0]
}

package conformance

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// described uploads a dump to a request of its own and returns the status after it.
func (c *checker) described(filename string, dump []byte) reply {
	req := c.create("filename", filename)
	c.put(req, dump)
	return c.status(req)
}

// shows ends the check unless the status has the value, written as JSON.
func (c *checker) shows(r reply, after, key, want string) {
	if got := show(r.request()[key]); got != want {
		c.wrong(after, key+" "+want, got)
	}
}

// filesizeForm is the form of filesize.
var filesizeForm = regexp.MustCompile(`^(\d+\.\d\d) Kb$`)

func describeChecks() []check {
	return []check{
		{id: "upload/filesize", rows: rows("4.7", "7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "After an upload filesize is the dump's size: two decimals, one space, Kb.",
			run:  checkUploadFilesize},
		{id: "upload/filesize-units", rows: rows("7"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "filesize has base 1024 and the units b, Kb, Mb.",
			run:  checkUploadFilesizeUnits},
		{id: "upload/compressions", rows: rows("4.7", "7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: `After the upload of a dump in PostgreSQL's custom format compressions is ["pgdmp_custom","sql"].`,
			run:  checkUploadCompressions},
		{id: "upload/compressions-by-content", rows: rows("7", "9"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "The description is taken from the dump's content, not from the name given to create.",
			run:  checkUploadCompressionsByContent},
		{id: "upload/compressions-others", rows: rows("7"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "Other forms of dumps are named outside in: gzip, zip, plain SQL.",
			run:  checkUploadCompressionsOthers},
		{id: "upload/postgresql", rows: rows("4.7", "7", "9"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "After an upload postgresql is the version in the dump's header, as 9.4.",
			run:  checkUploadPostgresql},
		{id: "upload/postgresql-custom", rows: rows("4.7", "7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "After the upload of a custom format dump postgresql is the version in its header.",
			run:  checkUploadPostgresqlCustom},
		{id: "upload/database", rows: rows("4.7", "7", "9"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "database_version and database_uuid, where they are not null, are the dump's.",
			run:  checkUploadDatabase},
		{id: "upload/database-read", rows: rows("9"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "database_version and database_uuid are read from plain dumps and from Odoo's zips.",
			run:  checkUploadDatabaseRead},
		{id: "upload/describes-the-last", rows: rows("4.4", "4.7"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "After a second upload status describes the second dump.",
			run:  checkUploadDescribesTheLast},
	}
}

func checkUploadFilesize(c *checker) {
	for _, n := range []int{205678, 934902} {
		r := c.described("sized.sql", sized(n))
		got := text(r.request()["filesize"])
		m := filesizeForm.FindStringSubmatch(got)
		if m == nil {
			c.wrong(fmt.Sprintf("upload of %d bytes and then status", n),
				fmt.Sprintf(`filesize in the form "%.2f Kb"`, float64(n)/1024), show(r.request()["filesize"]))
		}
		v, _ := strconv.ParseFloat(m[1], 64)
		if math.Abs(v-float64(n)/1024) > 0.011 && math.Abs(v-float64(n)/1000) > 0.011 {
			c.wrong(fmt.Sprintf("upload of %d bytes and then status", n),
				fmt.Sprintf(`filesize "%.2f Kb"`, float64(n)/1024), got)
		}
	}
}

func checkUploadFilesizeUnits(c *checker) {
	for _, d := range []struct {
		n    int
		want string
	}{{512, `"512.00 b"`}, {1023, `"1023.00 b"`}, {1024, `"1.00 Kb"`}, {205678, `"200.86 Kb"`},
		{2621440, `"2.50 Mb"`}} {
		c.shows(c.described("sized.sql", sized(d.n)), fmt.Sprintf("upload of %d bytes and then status", d.n),
			"filesize", d.want)
	}
}

func checkUploadCompressions(c *checker) {
	c.shows(c.described("openchs.70.cdump", fixture("openchs.cdump")),
		"upload of a custom format dump and then status", "compressions", `["pgdmp_custom","sql"]`)
}

func checkUploadCompressionsByContent(c *checker) {
	for _, name := range []string{"backup.zip", "backup.sql"} {
		c.shows(c.described(name, fixture("openchs.cdump")),
			"upload of a custom format dump as "+name+" and then status", "compressions", `["pgdmp_custom","sql"]`)
	}
}

func checkUploadCompressionsOthers(c *checker) {
	for _, d := range [][2]string{{"openchs.sql", `["sql"]`}, {"openchs.sql.gz", `["gzip","sql"]`},
		{"openchs.zip", `["zip","sql"]`}} {
		c.shows(c.described(d[0], fixture(d[0])), "upload of "+d[0]+" and then status", "compressions", d[1])
	}
}

func checkUploadPostgresql(c *checker) {
	for _, d := range [][2]string{{"9.4.5", `"9.4"`}, {"9.6.24", `"9.6"`}} {
		c.shows(c.described("some.sql", sqlDump(d[0], nil)),
			"upload of a dump made from PostgreSQL "+d[0]+" and then status", "postgresql", d[1])
	}
}

func checkUploadPostgresqlCustom(c *checker) {
	r := c.described("openchs.70.cdump", fixture("openchs.cdump"))
	if v := text(r.request()["postgresql"]); v != fixturePostgres && !strings.HasPrefix(v, fixturePostgres+".") {
		c.wrong("upload of a dump made from PostgreSQL "+fixturePostgres+" and then status",
			"postgresql "+fixturePostgres, show(r.request()["postgresql"]))
	}
}

func checkUploadDatabase(c *checker) { c.database(true) }

func checkUploadDatabaseRead(c *checker) { c.database(false) }

func checkUploadDescribesTheLast(c *checker) {
	req := c.create()
	c.put(req, fixture("openchs.cdump"))
	c.put(req, sized(205678))
	r := c.status(req)
	c.shows(r, "a second upload and then status", "filesize", `"200.86 Kb"`)
	c.shows(r, "a second upload and then status", "postgresql", `"9.4"`)
}

func (c *checker) database(orNull bool) {
	for _, name := range []string{"openchs.sql", "openchs.zip"} {
		r := c.described(name, fixture(name))
		for key, want := range map[string]string{"database_uuid": fixtureUUID, "database_version": fixtureVersion} {
			v := r.request()[key]
			if v == nil && orNull || text(v) == want || key == "database_version" && strings.HasPrefix(text(v), want) {
				continue
			}
			c.wrong("upload of "+name+" and then status", key+" "+want, show(v))
		}
	}
}

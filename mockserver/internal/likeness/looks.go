package likeness

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http/httputil"
	"net/url"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// looks names the kind of the difference; "" if it is none that is known.
func (d *difference) looks() string {
	if d.gotSize == 0 || d.wantSize == 0 {
		return ""
	}
	for _, kind := range []func() string{d.repeated, d.form, d.encoded, d.lineEnds, d.text, d.nuls, d.unpacked} {
		if text := kind(); text != "" {
			return text
		}
	}
	return ""
}

// enough is how many bytes found elsewhere in the file are no accident.
const enough = 16

// repeated is for files that were sent more than once, in whole or in part.
func (d *difference) repeated() string {
	if d.prefix == d.wantSize && d.wantSize > 0 {
		if n := d.gotSize / d.wantSize; n > 1 && d.gotSize%d.wantSize == 0 && bytes.Count(d.got, d.want) == int(n) {
			return fmt.Sprintf("%s %d times, one behind the other", d.name, n)
		}
	}
	extra := d.gotSize - d.wantSize
	if extra <= 0 || d.wantSize == 0 {
		return ""
	}
	if extra < d.wantSize && bytes.Equal(d.got[:extra], d.want[:extra]) && bytes.Equal(d.got[extra:], d.want) {
		return fmt.Sprintf("the whole of %s again behind its first %d bytes", d.name, extra)
	}
	// What was sent again came from somewhere in the file: a transfer that was continued too early, or not where it
	// was.
	if in := d.got[d.prefix : d.gotSize-d.suffix]; d.prefix+d.suffix == d.wantSize && len(in) >= enough && !isZero(in) &&
		bytes.Contains(d.want, in) {
		return fmt.Sprintf("%s with %d of its bytes twice, from offset %d on", d.name, len(in), d.prefix)
	}
	return ""
}

// form is for multipart forms.
func (d *difference) form() string {
	line, _, _ := bytes.Cut(d.got, []byte("\n"))
	boundary, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r"), []byte("--"))
	head := d.got[:min(len(d.got), 4<<10)]
	if !ok || len(boundary) == 0 || !bytes.Contains(bytes.ToLower(head), []byte("content-disposition")) {
		return ""
	}
	parts := multipart.NewReader(bytes.NewReader(d.got), string(boundary))
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return "a multipart form, in which " + d.name + " is not"
		}
		if data, err := io.ReadAll(part); err == nil && bytes.Equal(data, d.want) {
			return fmt.Sprintf("a multipart form with %s in its field %q, where the body itself should be it",
				d.name, part.FormName())
		}
	}
}

// decodings undo what a client may have wrapped the file in.
var decodings = []struct {
	name   string
	decode func([]byte) []byte
}{
	{"base64", func(b []byte) []byte { return decodeBase64(afterComma(b)) }},
	{"hexadecimal digits", func(b []byte) []byte {
		decoded := make([]byte, len(b)/2)
		n, _ := hex.Decode(decoded, deleteAny(b, " \r\n"))
		return decoded[:n]
	}},
	{"an urlencoded body", func(b []byte) []byte { return unescape(b) }},
	{"an urlencoded form", func(b []byte) []byte {
		if _, value, ok := bytes.Cut(b, []byte("=")); ok {
			return unescape(value)
		}
		return nil
	}},
	{"an urlencoded form", func(b []byte) []byte { // as parsed and written again: the dump was its first name
		return unescape(bytes.TrimSuffix(b, []byte("=")))
	}},
	{"a JSON text", func(b []byte) []byte {
		var text string
		if json.Unmarshal(b, &text) != nil {
			return nil
		}
		return []byte(text)
	}},
	{"quoted-printable", func(b []byte) []byte {
		decoded, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b)))
		return decoded
	}},
	{"chunks with their sizes between them", func(b []byte) []byte {
		decoded, _ := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
		return decoded
	}},
}

// convincing is how many bytes of the beginning must agree to name a wrapping around a file that is not whole.
const convincing = 256

func (d *difference) encoded() string {
	for _, wrapping := range decodings {
		decoded := wrapping.decode(d.got)
		if bytes.Equal(decoded, d.want) {
			return d.name + " as " + wrapping.name
		}
		if same := prefixLen(decoded, d.want); same >= convincing && int64(same) > 2*d.prefix {
			return fmt.Sprintf("%s, or its beginning, as %s", d.name, wrapping.name)
		}
	}
	return ""
}

// afterComma is what follows the head of a data: URL.
func afterComma(b []byte) []byte {
	if bytes.HasPrefix(b, []byte("data:")) {
		_, b, _ = bytes.Cut(b, []byte(","))
	}
	return b
}

func decodeBase64(b []byte) []byte {
	b = bytes.TrimRight(deleteAny(b, " \r\n"), "=")
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(b, "-_") {
		encoding = base64.RawURLEncoding
	}
	decoded := make([]byte, encoding.DecodedLen(len(b)))
	n, _ := encoding.Decode(decoded, b)
	return decoded[:n]
}

func unescape(b []byte) []byte {
	if !bytes.ContainsAny(b, "%+") {
		return nil
	}
	text, err := url.QueryUnescape(string(b))
	if err != nil {
		return nil
	}
	return []byte(text)
}

// deleteAny returns b without the bytes of the set.
func deleteAny(b []byte, set string) []byte {
	kept := make([]byte, 0, len(b))
	for _, c := range b {
		if strings.IndexByte(set, c) < 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

func replace(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(old), []byte(new)) }
}

// universal is what reading a text with any line ends makes of it.
func universal(b []byte) []byte { return replace("\r", "\n")(replace("\r\n", "\n")(b)) }

// trimmed is the text without the white space at the ends of its lines.
func trimmed(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	for i, line := range lines {
		lines[i] = bytes.TrimRight(line, " \t\r\v\f")
	}
	return bytes.Join(lines, []byte("\n"))
}

// lineEndChanges are what programs do to the line ends of what they take for a text.
var lineEndChanges = []struct {
	change func([]byte) []byte
	text   string
}{
	{replace("\n", "\r\n"), "its line ends changed: every LF became CRLF"},
	{func(b []byte) []byte { return replace("\n", "\r\n")(replace("\r\n", "\n")(b)) },
		"its line ends changed: LF became CRLF"},
	{replace("\r\n", "\n"), "its line ends changed: CRLF became LF"},
	{universal, "its line ends changed: CRLF and CR became LF"},
	{func(b []byte) []byte { return replace("\n", "\r\n")(universal(b)) }, "its line ends changed to CRLF"},
	{func(b []byte) []byte { return replace("\n", "\r")(universal(b)) }, "its line ends changed to CR"},
	{func(b []byte) []byte { return deleteAny(b, "\r\n") },
		"its line ends stripped (as curl's --data does; --data-binary does not)"},
	{func(b []byte) []byte { return deleteAny(b, "\r\n\x00") },
		"its line ends and NULs stripped (as curl's --data does; --data-binary does not)"},
	{func(b []byte) []byte { return deleteAny(b, "\n") }, "its line ends stripped: every LF is gone"},
	{func(b []byte) []byte { return deleteAny(b, "\r") }, "its line ends changed: every CR is gone"},
	{func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }, "the line ends at its end stripped"},
	{trimmed, "the white space at its line ends stripped"},
	{bytes.TrimSpace, "the white space around it stripped"},
}

func (d *difference) lineEnds() string {
	for _, c := range lineEndChanges {
		if bytes.Equal(c.change(d.want), d.got) {
			return d.name + " with " + c.text
		}
	}
	return ""
}

// text is for files that went through a text in some encoding.
func (d *difference) text() string {
	if bom := []byte("\ufeff"); bytes.Equal(d.got, append(bom, d.want...)) {
		return d.name + " behind a byte order mark"
	}
	for _, lines := range []func([]byte) []byte{func(b []byte) []byte { return b }, universal} {
		want := lines(d.want)
		if latin := fromLatin1(want); len(latin) != len(want) && bytes.Equal(latin, d.got) {
			return d.name + " decoded as Latin-1 and encoded as UTF-8"
		}
		if bytes.Equal(toLatin1(want), d.got) {
			return d.name + " decoded as UTF-8 and encoded as Latin-1"
		}
	}
	if lost := d.lost(); lost != "" {
		return d.name + " decoded as text and encoded again: " + lost + " is lost"
	}
	if len(d.got) > 2 && (bytes.HasPrefix(d.got, []byte("\xff\xfe")) || len(d.got)/2 == len(d.want)) {
		units := make([]uint16, 0, len(d.got)/2)
		for i := 0; i+1 < len(d.got); i += 2 {
			units = append(units, uint16(d.got[i])|uint16(d.got[i+1])<<8)
		}
		text := strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
		if bytes.Equal([]byte(text), d.want) || bytes.Equal(toLatin1([]byte(text)), d.want) {
			return d.name + " as UTF-16"
		}
	}
	return ""
}

// lost is what a decoding that replaces or leaves out what it does not know has cost. Programs differ in how many
// marks they put in its place: none of them is compared.
func (d *difference) lost() string {
	if !utf8.Valid(d.got) {
		return ""
	}
	plain := func(b []byte) []byte {
		return deleteAny(bytes.ReplaceAll(bytes.ToValidUTF8(b, nil), []byte("\ufffd"), nil), "?")
	}
	same := func(got, want []byte) bool { return bytes.Equal(got, want) || bytes.Equal(got, universal(want)) }
	switch got, want := plain(d.got), plain(d.want); {
	case !utf8.Valid(d.want) && same(got, want):
		return "what is no UTF-8"
	case !isASCII(d.want) && isASCII(d.got) && same(got, ascii(want)):
		return "what is no ASCII"
	}
	return ""
}

func fromLatin1(b []byte) []byte {
	text := make([]byte, 0, len(b)+len(b)/2)
	for _, c := range b {
		text = utf8.AppendRune(text, rune(c))
	}
	return text
}

// toLatin1 is nil for what is no UTF-8, or has characters that Latin-1 lacks.
func toLatin1(b []byte) []byte {
	if !utf8.Valid(b) {
		return nil
	}
	text := make([]byte, 0, len(b))
	for _, r := range string(b) {
		if r > 0xff {
			return nil
		}
		text = append(text, byte(r))
	}
	return text
}

func ascii(b []byte) []byte {
	kept := make([]byte, 0, len(b))
	for _, c := range b {
		if c < utf8.RuneSelf {
			kept = append(kept, c)
		}
	}
	return kept
}

func isASCII(b []byte) bool { return len(ascii(b)) == len(b) }

// nuls is for files that met a program to which a NUL ends a text.
func (d *difference) nuls() string {
	if bytes.Equal(deleteAny(d.want, "\x00"), d.got) {
		return d.name + " without its NULs"
	}
	return ""
}

// unpacked is for files that were packed, and have been unpacked on their way.
func (d *difference) unpacked() string {
	if how, err := unpacks(Bytes(d.want), Bytes(d.got)); err == nil && how != "" {
		return d.name + " unpacked: it was " + how
	}
	return ""
}

// other describes what has nothing to do with the file, or too little to tell.
func (d *difference) other() string {
	text := fmt.Sprintf("something else of %d bytes", d.gotSize)
	if d.got == nil {
		return text
	}
	if kind := kindOf(d.got); kind != "" {
		text += ", " + kind
	}
	if at := bytes.Index(d.got, d.want); len(d.want) > 0 && at > 0 {
		text += fmt.Sprintf(", with %s from offset %d on and %d bytes behind it", d.name, at,
			len(d.got)-at-len(d.want))
	}
	return text
}

// Kind names what servers answer that is no dump: "an HTML page", "a JSON object". It returns "" for everything else.
func Kind(f File) string {
	if f.Size > 1<<20 {
		return ""
	}
	data, err := io.ReadAll(f.open())
	if err != nil {
		return ""
	}
	return kindOf(data)
}

func kindOf(b []byte) string {
	head := bytes.ToLower(bytes.TrimSpace(b[:min(len(b), 512)]))
	switch {
	case bytes.HasPrefix(head, []byte("<!doctype html")), bytes.HasPrefix(head, []byte("<html")):
		return "an HTML page"
	case bytes.HasPrefix(head, []byte("{")) && json.Valid(b):
		return "a JSON object"
	case bytes.HasPrefix(b, []byte("\x1f\x8b")), bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return "a packed one"
	}
	return ""
}

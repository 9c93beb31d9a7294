package database

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// maxParameters bounds the parameters of one call, in bytes of its body. Longer query strings never get here:
// net/http answers 431 for headers of more than a megabyte.
const maxParameters = 1 << 20

// params are the parameters of one call (rows 1.1 to 1.4), each the first value of its source, the body before
// the query.
type params struct {
	list  []eventlog.Param
	names map[string]bool
}

// get returns the value of a parameter; "" when it is absent.
func (p *params) get(name string) string {
	for i := range p.list {
		if p.list[i].Name == name {
			return p.list[i].Value
		}
	}
	return ""
}

var (
	errParametersTooLarge = fmt.Errorf("the call carries more than %d bytes of parameters; send fewer (a dump "+
		"goes to upload)", maxParameters)
	errNoBoundary       = errors.New("it names no boundary, such as multipart/form-data; boundary=x")
	errParametersBroken = errors.New("the body is not what its Content-Type says")
)

// readQuery reads the query string alone, for the methods whose body is a dump.
func (p *params) readQuery(r *http.Request) { p.addForm(r.URL.RawQuery) }

// read reads query string and body, whatever the HTTP method: the documented samples send bodies with GET, which
// [http.Request.ParseForm] would leave unread.
func (p *params) read(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody { // most polls
		p.readQuery(r)
		return nil
	}
	contentType, args, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body := &io.LimitedReader{R: r.Body, N: maxParameters + 1}
	var err error
	switch contentType {
	case "application/x-www-form-urlencoded":
		var data []byte
		data, err = io.ReadAll(body)
		p.addForm(string(data))
	case "multipart/form-data":
		err = p.addMultipart(body, args["boundary"])
	}
	switch {
	case body.N <= 0:
		*p = params{}
		return errParametersTooLarge
	case err != nil:
		*p = params{}
		// The reader's own words, such as "multipart: NextPart: EOF", help no one.
		cause := "a part of it is not well-formed; each has headers, an empty line, and its value"
		switch {
		case errors.Is(err, errNoBoundary):
			cause = err.Error()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			cause = "it ended too early, or its last boundary is another"
		}
		return fmt.Errorf("%w (%s): %s", errParametersBroken, contentType, cause)
	}
	p.readQuery(r)
	return nil
}

// addForm adds what is not there yet. Scripts paste values into URLs unescaped, so what is no escape is taken
// as it stands.
func (p *params) addForm(encoded string) {
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p.add(unescape(name), unescape(value))
	}
}

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for ; len(s) > 0; s = s[1:] {
		c := s[0]
		if c == '+' {
			c = ' '
		} else if c == '%' && len(s) > 2 {
			if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				c, s = byte(n), s[2:]
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// addMultipart adds the fields of a multipart body; a file part's content is its value (row 5.1).
func (p *params) addMultipart(body io.Reader, boundary string) error {
	if boundary == "" {
		return errNoBoundary
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	body = bytes.NewReader(data)
	// The library takes a body that ends within a part's header for one that is over. Here, only the last
	// boundary ends it, with a line end or without.
	end, last := "--"+boundary+"--", bytes.TrimRight(data, " \t")
	if string(last) != end && !bytes.HasSuffix(last, []byte("\n"+end)) {
		body = io.MultiReader(body, brokenOff{})
	}
	parts := multipart.NewReader(body, boundary)
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		// it quotes the line, which may be anything
		if _, malformed := errors.AsType[textproto.ProtocolError](err); malformed {
			return errors.New("a part has a malformed MIME header")
		}
		if err != nil {
			return err
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		p.add(part.FormName(), string(value))
	}
}

// brokenOff is what follows a body that should have ended itself.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// add keeps the first value. JSON cannot carry what is not UTF-8, so that is replaced here, once. Whoever
// remembers a value copies it: it may be part of a whole body.
func (p *params) add(name, value string) {
	if p.names[name] {
		return
	}
	if p.names == nil {
		p.names = make(map[string]bool)
	}
	p.names[name] = true
	p.list = append(p.list, eventlog.Param{Name: name, Value: strings.ToValidUTF8(value, "\uFFFD")})
}

// emptied are no parameters, with the memory for the next ones unless it is large.
func (p *params) emptied() params {
	if cap(p.list) > 16 {
		return params{}
	}
	clear(p.list)
	clear(p.names)
	return params{list: p.list[:0], names: p.names}
}

func badParameters(err error) platform.Failures {
	reason := "PARAMETERS:INVALID"
	if errors.Is(err, errParametersTooLarge) {
		reason = "PARAMETERS:TOO_LARGE"
	}
	message := err.Error()
	return platform.Failures{{Reason: reason, Message: strings.ToUpper(message[:1]) + message[1:], Why: message}}
}

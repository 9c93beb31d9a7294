package mockserver

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// maxParameters bounds the parameters of one call, in bytes of its body. Longer query strings never get here: net/http
// answers 431 for headers of more than a megabyte.
const maxParameters = 1 << 20

// params are the parameters of one call (WIRE 1.1 to 1.4), each the first value of its source, the body before the query.
type params map[string]string

var (
	errParametersTooLarge = fmt.Errorf("the call carries more than %d bytes of parameters; send fewer (a dump goes to upload)", maxParameters)
	errParametersBroken   = errors.New("the body is not what its Content-Type says")
)

// queryParams reads the query string alone, for the methods whose body is a dump.
func queryParams(r *http.Request) params {
	p := make(params)
	p.addForm(r.URL.RawQuery)
	return p
}

// readParams reads query string and body, whatever the HTTP method: the documented samples send bodies with GET,
// which [http.Request.ParseForm] would leave unread.
func readParams(r *http.Request) (params, error) {
	p := make(params)
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
		return nil, errParametersTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w (%s): %w", errParametersBroken, contentType, err)
	}
	p.addForm(r.URL.RawQuery)
	return p, nil
}

// addForm adds what is not there yet. Scripts paste values into URLs unescaped, so what is no escape is taken as it stands.
func (p params) addForm(encoded string) {
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p.add(unescape(name), unescape(value))
	}
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s):
			if plain, err := url.QueryUnescape(s[i : i+3]); err == nil {
				b.WriteString(plain)
				i += 2
				continue
			}
			b.WriteByte('%')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// addMultipart adds the fields of a multipart body; a file part's content is its value (WIRE 5.1).
func (p params) addMultipart(body io.Reader, boundary string) error {
	if boundary == "" {
		return errors.New("it names no boundary")
	}
	// The library takes a body that ends within a part's header for one that is over. Here, only the last boundary ends it; the
	// line end that may be left out behind that is put there.
	parts := multipart.NewReader(io.MultiReader(body, strings.NewReader("\r\n"), brokenOff{}), boundary)
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
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

// add keeps the first value. JSON cannot carry what is not UTF-8, so that is replaced here, once. What is kept is a copy: a value
// that is remembered must not hold on to the whole body.
func (p params) add(name, value string) {
	if _, have := p[name]; !have {
		p[strings.Clone(name)] = strings.Clone(strings.ToValidUTF8(value, "\uFFFD"))
	}
}

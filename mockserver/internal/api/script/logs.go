package script

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
)

// readLogs finds the request by the token in the query string, which comes as it is (row S8.1). A wrong one is answered
// with 404 (row S8.10).
func (a *API) readLogs(c *api.Call) error {
	token := ""
	for pair := range strings.SplitSeq(c.R.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		if name == "token" && token == "" {
			token = value
		}
		if name != "" {
			c.Params = append(c.Params, eventlog.Param{Name: name, Value: value})
		}
	}
	c.ForToken(token)
	if header := c.R.Header.Get("Range"); header != "" {
		c.Params = append(c.Params, eventlog.Param{Name: "Range", Value: header})
	}
	switch {
	case token == "":
		return c.NotFound("the call has no token: logs?token=TOKEN")
	case c.Request == nil:
		return c.NotFound(c.Fails.Why())
	}
	return nil
}

// logs hands out the log of an upgrade as it is now, or a part of it. The script crashes on any status of 400 and
// above, so that there is none of them for a Range (rows S8.1 to S8.9).
func (a *API) logs(c *api.Call) (any, error) {
	log, size, err := c.Request.Log()
	if err != nil {
		return nil, err
	}
	snapshot := c.Request.Snapshot()
	c.Note(&snapshot)
	p, partial := rangeOf(c.R.Header.Get("Range"), size)
	if !partial {
		p = part{0, size}
	}
	return api.Content(func() {
		header := c.W.Header()
		header.Set("Accept-Ranges", "bytes")
		header.Set("Cache-Control", "no-store")
		const contentType = "text/plain; charset=utf-8"
		if c.SendsGarbage() {
			c.Send(http.StatusOK, contentType, nil)
			return
		}
		status := http.StatusOK
		if partial && p.from < p.to {
			status = http.StatusPartialContent
			header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", p.from, p.to-1, size))
		}
		header.Set("Content-Type", contentType)
		header.Set("Content-Length", strconv.FormatInt(p.to-p.from, 10))
		c.W.WriteHeader(status)
		if c.R.Method == http.MethodHead {
			return
		}
		if _, err := c.W.ReadFrom(io.NewSectionReader(log, p.from, p.to-p.from)); err != nil {
			c.AddWhy("the log broke off: " + err.Error())
			panic(http.ErrAbortHandler)
		}
	}), nil
}

package database

import (
	"net/http"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// write encodes an answer: the only place where the envelope is made (row 1.6). A value of nil leaves the
// request out.
func (a *API) write(c *api.Call, value any, err error) {
	buffer := answerPool.Get().(*[]byte)
	defer answerPool.Put(buffer)
	status := http.StatusOK
	body := append((*buffer)[:0], `{"failures":`...)
	var encoding error
	if err != nil {
		fails, ok := err.(platform.Failures)
		if !ok {
			fails = platform.Failures{platform.ServerError("Something went wrong; try again later", err)}
		}
		status = a.FailureStatus
		c.AddWhy(fails.Why())
		for _, f := range fails {
			c.Event.Failures = append(c.Event.Failures, f.Reason)
		}
		body, encoding = appendJSON(body, failureObjects(fails))
	} else {
		body = append(body, "[]"...)
		if value != nil {
			body, encoding = appendJSON(append(body, `,"request":`...), value)
		}
	}
	if encoding != nil { // only a script's value could do that, and those were checked
		panic("database: an answer that cannot be encoded: " + encoding.Error())
	}
	*buffer = append(body, "}\n"...)
	c.Send(status, "application/json", *buffer)
}

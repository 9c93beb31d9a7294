package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/tty"
)

// bars shows transfers: as a bar where there is a terminal, otherwise as a line now and then. Its methods are called
// one at a time.
type bars struct {
	w     io.Writer
	live  bool
	quiet bool
	wait  *waiting // nil: it is not shown that nothing is to be done

	what    string
	pool    *mpb.Progress
	bar     *mpb.Bar
	at      time.Time // of the latest line
	percent int64
}

func (a *app) newBars() *bars {
	_, live := tty.File(behind(a.stderr))
	return &bars{w: a.stderr, live: live, quiet: a.json, wait: a.newWaiting()}
}

func (b *bars) progress(what string, p client.Progress) {
	switch {
	case b.quiet:
	case b.live:
		b.draw(what, p)
	default:
		b.line(what, p)
	}
}

func (b *bars) draw(what string, p client.Progress) {
	if b.bar == nil || b.what != what {
		b.end()
		b.what = what
		b.pool = mpb.New(mpb.WithOutput(b.w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(200*time.Millisecond))
		b.bar = b.pool.AddBar(max(p.Total, 0),
			mpb.PrependDecorators(decor.Name(what+" "), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.Percentage(),
				decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f"),
				decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
		b.bar.SetRefill(p.From)
	}
	b.bar.SetCurrent(p.Done)
}

// line writes a line at each tenth of the file, and otherwise every ten seconds.
func (b *bars) line(what string, p client.Progress) {
	if b.what != what {
		b.what, b.at, b.percent = what, time.Now(), -1
	}
	percent := int64(-1)
	if p.Total > 0 {
		percent = 100 * p.Done / p.Total
	}
	now := time.Now()
	if now.Sub(b.at) < time.Second || (now.Sub(b.at) < 10*time.Second && percent/10 == b.percent/10) {
		return
	}
	b.at, b.percent = now, percent
	if p.Total > 0 {
		fmt.Fprintf(b.w, "%s: %s of %s (%d %%)\n", what, workflow.Size(p.Done), workflow.Size(p.Total), percent)
	} else {
		fmt.Fprintf(b.w, "%s: %s\n", what, workflow.Size(p.Done))
	}
}

// waiting shows that the state is the latest answer, until something follows.
func (b *bars) waiting(state string, pause time.Duration) {
	b.end()
	if b.wait != nil {
		b.wait.show(state, pause)
	}
}

// end removes what is shown for a while, so that a line can follow.
func (b *bars) end() {
	if b.wait != nil {
		b.wait.hide()
	}
	if b.bar != nil {
		b.bar.Abort(!b.bar.Completed())
		b.pool.Wait()
		b.bar, b.pool = nil, nil
	}
	b.what = ""
}

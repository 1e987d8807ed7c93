package html

import (
	"net/http"
	"net/url"
	"strings"

	"example.com/berth/internal/statuspage"
)

// A page is all that is known when it is rendered: where it is, and the answers.
type page struct {
	place
	Status int
	Failed *statuspage.Error // the route's own answer, if it failed

	index    part[statuspage.Index]
	health   part[statuspage.Health]
	pools    part[statuspage.Pools]
	holders  part[statuspage.Requests]
	queue    part[statuspage.Queue]
	requests part[statuspage.Requests]
	failures part[statuspage.Requests]
	ended    part[statuspage.Requests]
	recent   part[statuspage.Requests]
	usage    part[statuspage.Usages]
	request  part[statuspage.Request]
	quote    part[statuspage.Quote]
	filtered part[statuspage.Pools] // the names by which a list can be narrowed
}

const (
	// holding are the states of requests that hold replicas, in order of their life.
	holding = "RESERVED,SUBMITTING,SUBMITTED,RUNNING,CANCELLING"
	// failing are the ends that somebody has to look at.
	failing = "FAILED,EXPIRED,REJECTED,REFUSED"
	// ending are the others.
	ending = "SUCCEEDED,CANCELLED"
)

// What the overview shows of lists, so that a long queue does not hide the history and the
// outcomes below it.
const (
	overviewWaiters = "15"
	overviewEnds    = "10" // of each kind
)

// gather asks for what the page of a route shows beside the answer of the route itself,
// at once.
func (h *handler) gather(p *page, r *http.Request, main *answer) {
	if main.status >= http.StatusInternalServerError {
		return // more questions would not help a service that cannot answer
	}
	var todo tasks
	of := func(parameters ...string) url.Values { // of the tenant and the resource of the page
		q := url.Values{}
		for _, name := range []string{"tenant", "resource"} {
			if v := p.query.Get(name); v != "" && p.Failed == nil {
				q.Set(name, v)
			}
		}
		for i := 0; i < len(parameters); i += 2 {
			q.Set(parameters[i], parameters[i+1])
		}
		return q
	}
	if p.path == "" && p.Failed == nil {
		decode(main, &p.index)
	} else {
		ask(h, &todo, r, &p.index, "/", nil)
	}
	if p.path != "health" || p.Failed != nil {
		ask(h, &todo, r, &p.health, "/health", nil)
	}
	names := func() { ask(h, &todo, r, &p.filtered, "/pools", url.Values{"limit": {"200"}}) }
	switch {
	case p.Failed != nil:
	case p.path == "":
		ask(h, &todo, r, &p.pools, "/pools", of())
		ask(h, &todo, r, &p.holders, "/requests", of("state", holding))
		ask(h, &todo, r, &p.queue, "/queue", of("limit", overviewWaiters))
		ask(h, &todo, r, &p.usage, "/usage", of("buckets", "true"))
		ask(h, &todo, r, &p.failures, "/recent", of("state", failing, "limit", overviewEnds))
		ask(h, &todo, r, &p.ended, "/recent", of("state", ending, "limit", overviewEnds))
		if p.query.Get("resource") != "" {
			names()
		}
	case p.path == "health":
		decode(main, &p.health)
	case p.path == "pools":
		decode(main, &p.pools)
	case p.path == "queue":
		decode(main, &p.queue)
		names()
	case p.path == "requests":
		decode(main, &p.requests)
		names()
	case p.path == "recent":
		decode(main, &p.recent)
		names()
	case p.path == "usage":
		decode(main, &p.usage)
		names()
	case p.path == "explain":
		decode(main, &p.quote)
	case strings.HasPrefix(p.path, "requests/"):
		decode(main, &p.request)
	}
	todo.run()
}

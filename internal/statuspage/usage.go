package statuspage

import (
	"fmt"
	"net/http"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/usage"
)

// Usages is the answer of /usage. It has sums alone, so it shows the same to everybody.
type Usages struct {
	AsOf      time.Time `json:"asOf"`
	Resources []Usage   `json:"resources"`
	Next      string    `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. It leaves
	// them unchanged, and their resources out.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Usage is what became of the machines of one persistent resource.
type Usage struct {
	Name string `json:"name"`
	// From is the beginning of the first stretch of time that is summed up: 5 minutes
	// long within the last 24 hours, else 6 hours. At the earliest it is 31 days ago.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Observed is of how much of that time something is known. The rest is in no sum.
	Observed Duration     `json:"observed"`
	Width    Duration     `json:"width,omitempty"` // of the buckets, with buckets=true
	Shapes   []ShapeUsage `json:"shapes"`
}

// A ShapeUsage is what became of the machines of one shape, in replica-hours.
type ShapeUsage struct {
	Shape       capacity.Shape `json:"shape"`
	Hours       float64        `json:"replicaHours"`                      // machines there
	ScaleUp     float64        `json:"scaleUpReplicaHours,omitempty"`     // that autoscaling could have added
	Used        float64        `json:"usedReplicaHours"`                  // by Berth's jobs, from their reservation on
	Foreign     float64        `json:"foreignReplicaHours,omitempty"`     // by other jobs
	Unexplained float64        `json:"unexplainedReplicaHours,omitempty"` // in use by no job that is listed
	Idle        float64        `json:"idleReplicaHours"`
	IdleWaiting float64        `json:"idleWhileWaitingReplicaHours"` // idle while a request waited for such machines
	Utilisation *float64       `json:"utilisation,omitempty"`        // of the machines there, 0 to 1; absent if there were none
	MeanWaiting float64        `json:"meanWaiting"`                  // requests that waited for such machines, over the time observed
	MaxWaiting  int64          `json:"maxWaiting"`
	// Buckets are there with buckets=true: one for each stretch of time of which something
	// is known, oldest first.
	Buckets []UsageBucket `json:"buckets,omitempty"`
}

// A UsageBucket is what was true of the machines of one shape in one stretch of time:
// means over the part of it that was observed, in replicas and in requests.
type UsageBucket struct {
	From        time.Time `json:"from"`
	Observed    Duration  `json:"observed"`
	Machines    float64   `json:"machines"`
	Limit       float64   `json:"limit"` // machines, and those that autoscaling could have added
	Used        float64   `json:"used"`
	Foreign     float64   `json:"foreign"`
	Unexplained float64   `json:"unexplained"`
	MeanWaiting float64   `json:"meanWaiting"`
	MaxWaiting  int64     `json:"maxWaiting"`
}

const (
	usageSince = 24 * time.Hour // without since=
	usageLimit = 20             // resources on a page: their documents are large
	// bucketLimit is the same with buckets=true: ten shapes have half a megabyte of them.
	bucketLimit = 5
)

func (d *handler) usage(r *http.Request) (any, error) {
	from, limit, err := page(r)
	if err != nil {
		return nil, err
	}
	limit = min(limit, usageLimit)
	buckets := false
	switch s := r.URL.Query().Get("buckets"); s {
	case "", "false":
	case "true":
		buckets, limit = true, min(limit, bucketLimit)
	default:
		return nil, invalid("buckets", "Want true or false.")
	}
	names, err := d.resources(r)
	if err != nil {
		return nil, err
	}
	var since time.Time
	if s := r.URL.Query().Get("since"); s != "" {
		if since, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, invalid("since", "Want a time of RFC 3339, such as 2026-01-31T15:04:05Z.")
		}
	}
	u := Usages{Resources: []Usage{}}
	named := names != nil
	if !named {
		found, bad, next, err := d.pageOfResources(r.Context(), from, limit)
		if err != nil {
			return nil, err
		}
		for _, res := range found {
			names = append(names, res.Name)
		}
		u.Unreadable, u.Next = bad, next
		if names == nil {
			u.AsOf, _, err = d.now(r.Context())
			return u, err
		}
	}
	bad := u.Unreadable
	// Both documents are read at one moment: an observation moves sums from one to the
	// other, and each has to count once.
	err = ledger.Read(r.Context(), d.ledger, ledger.Resources(names...).And(ledger.Usages(names...)), func(tx ledger.Tx) {
		u.AsOf, u.Resources, u.Unreadable = tx.Now(), []Usage{}, bad
		for _, name := range names {
			switch unread, unreadSums := tx.Unreadable(ledger.ResourceRef(name)), tx.Unreadable(ledger.UsageRef(name)); {
			case unread != nil:
				u.Unreadable = append(u.Unreadable, unread)
			case unreadSums != nil:
				u.Unreadable = append(u.Unreadable, unreadSums)
			case tx.Resource(name) != nil:
				u.Resources = append(u.Resources, usageOf(tx, name, since, buckets))
			}
		}
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read usage: %w", err)
	case since.After(u.AsOf):
		return nil, invalid("since", "Want a time that has passed.")
	case named && len(u.Resources)+len(u.Unreadable) == 0:
		return nil, unknownResource(r.URL.Query().Get("resource"))
	}
	return u, nil
}

// usageOf sums up a resource, since 24 hours ago if no time is given.
func usageOf(tx ledger.Tx, name string, since time.Time, buckets bool) Usage {
	res, sums := tx.Resource(name), usage.History{}
	if doc := ledger.Get[*ledger.Usage](tx, ledger.UsageRef(name)); doc != nil {
		sums = doc.History
	}
	now := tx.Now()
	if since.IsZero() {
		since = now.Add(-usageSince)
	}
	s := sums.Since(since, now, res.Usage.Track)
	u := Usage{Name: name, From: s.From, To: s.To, Observed: Duration(s.Observed), Shapes: []ShapeUsage{}}
	hours := func(seconds int64) float64 { return float64(seconds) / 3600 }
	track, width := usage.Track{}, time.Duration(0)
	if buckets {
		track, _, width = sums.Buckets(since, now, res.Usage.Track)
		u.Width = Duration(width)
	}
	for i, t := range s.Shapes {
		shape := ShapeUsage{Shape: t.Shape, Hours: hours(t.Machines), ScaleUp: hours(t.Room), Used: hours(t.Ours), Foreign: hours(t.Foreign),
			Unexplained: hours(t.Unexplained), Idle: hours(t.Idle), IdleWaiting: hours(t.IdleWaiting), MaxWaiting: t.MaxWaiting}
		if t.Machines > 0 {
			busy := float64(t.Machines-t.Idle) / float64(t.Machines)
			shape.Utilisation = &busy
		}
		if s.Observed > 0 {
			shape.MeanWaiting = float64(t.Waiting) / s.Observed.Seconds()
		}
		if buckets {
			shape.Buckets = bucketsOf(track.Observed, track.Shapes[i].Buckets, width)
		}
		u.Shapes = append(u.Shapes, shape)
	}
	return u
}

// bucketsOf returns the buckets of a shape. Where something is known of the resource, and
// nothing is stored of the shape, there was nothing of it.
func bucketsOf(observed, stored []usage.Bucket, width time.Duration) []UsageBucket {
	of := map[int64]usage.Sums{}
	for _, b := range stored {
		of[b.Number] = b.Sums
	}
	list := []UsageBucket{}
	for _, b := range observed {
		if b.Seconds == 0 {
			continue
		}
		s := of[b.Number]
		mean := func(sum int64) float64 { return float64(sum) / float64(b.Seconds) }
		list = append(list, UsageBucket{
			From: b.Start(width), Observed: Duration(b.Seconds) * Duration(time.Second),
			Machines: mean(s.Machines), Limit: mean(s.Machines + s.Room), Used: mean(s.Ours), Foreign: mean(s.Foreign),
			Unexplained: mean(s.Unexplained), MeanWaiting: mean(s.Waiting), MaxWaiting: s.MaxWaiting,
		})
	}
	return list
}

package fakevertex

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Sizes of pages.
const (
	defaultPage = 100
	largestPage = 1000
)

// ListCustomJobs lists newest first.
func (s jobService) ListCustomJobs(_ context.Context, req *aiplatformpb.ListCustomJobsRequest) (*aiplatformpb.ListCustomJobsResponse, error) {
	out := &aiplatformpb.ListCustomJobsResponse{}
	err := s.read(func() error {
		parent, err := s.location(req.GetParent())
		if err != nil {
			return err
		}
		selects, err := parseFilter(req.GetFilter())
		if err != nil {
			return fieldError("filter", fmt.Sprintf("Invalid filter %q: %v.", req.GetFilter(), err))
		}
		if mask := req.GetReadMask(); !slices.Equal(mask.GetPaths(), []string{"*"}) {
			if _, err := fieldmaskpb.New(&aiplatformpb.CustomJob{}, mask.GetPaths()...); err != nil {
				return fieldError("read_mask", fmt.Sprintf("Invalid path: %v.", err))
			}
		}
		page, err := newPage(req, parent+"\n"+req.GetFilter())
		if err != nil {
			return err
		}
		found := s.indexOf(parent).candidates(selects)
		i := len(found)
		if page.before > 0 {
			i, _ = found.find(page.before)
		}
		for _, j := range slices.Backward(found[:i]) {
			s.work++
			tooYoung := s.now.Sub(j.pb.CreateTime.AsTime()) < s.knobs.ListLag
			if tooYoung || !selects.holds(j.pb) {
				continue
			}
			if len(out.CustomJobs) == page.size {
				out.NextPageToken = page.next()
				break
			}
			out.CustomJobs = append(out.CustomJobs, masked(j.pb, req.GetReadMask()))
			page.before = j.seq
		}
		return nil
	})
	return out, err
}

// A page is what a request asks for of a list that is shown newest, that is, highest
// number first. A token names the last entry that was returned, so what is created or
// deleted between two pages makes no other entry appear twice or not at all; scope
// ties it to the list that it was given for.
type page struct {
	size   int
	scope  uint32
	before int64 // only entries of lower numbers; 0 for all
}

func newPage(req interface {
	GetPageSize() int32
	GetPageToken() string
}, scope string) (page, error) {
	h := fnv.New32a()
	h.Write([]byte(scope))
	p := page{size: int(req.GetPageSize()), scope: h.Sum32()}
	switch {
	case p.size < 0:
		return p, fieldError("page_size", "Must not be negative.")
	case p.size == 0:
		p.size = defaultPage
	}
	p.size = min(p.size, largestPage)
	if text := req.GetPageToken(); text != "" {
		var sum uint32
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			_, err = fmt.Sscanf(string(raw), "%d %d", &sum, &p.before)
		}
		if err != nil || sum != p.scope || p.before < 1 {
			return p, fieldError("page_token", "Invalid page token.")
		}
	}
	return p, nil
}

// next is the token of what comes after the last entry that was returned.
func (p page) next() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d", p.scope, p.before))
}

// masked copies what a read mask selects of a job; an empty mask selects all.
func masked(j *aiplatformpb.CustomJob, mask *fieldmaskpb.FieldMask) *aiplatformpb.CustomJob {
	out := proto.CloneOf(j)
	if paths := mask.GetPaths(); len(paths) > 0 && !slices.Equal(paths, []string{"*"}) {
		prune(out.ProtoReflect(), paths)
	}
	return out
}

// prune clears every field of m that no path leads to.
func prune(m protoreflect.Message, paths []string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		var below []string
		whole := false
		for _, p := range paths {
			head, rest, deeper := strings.Cut(p, ".")
			switch {
			case head != string(fd.Name()):
			case deeper:
				below = append(below, rest)
			default:
				whole = true
			}
		}
		switch {
		case whole:
		case len(below) > 0 && fd.Message() != nil && !fd.IsMap() && !fd.IsList():
			prune(v.Message(), below)
		default:
			m.Clear(fd)
		}
		return true
	})
}

package fakevertex

import (
	"cmp"
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
		var found []*job
		for _, j := range s.order {
			tooYoung := s.now.Sub(j.pb.CreateTime.AsTime()) < s.knobs.ListLag
			if j.parent == parent && !tooYoung && selects(j.pb) {
				found = append(found, j)
			}
		}
		page, next, err := paginate(found, func(j *job) int64 { return j.seq }, req, parent+"\n"+req.GetFilter())
		for _, j := range page {
			out.CustomJobs = append(out.CustomJobs, masked(j.pb, req.GetReadMask()))
		}
		out.NextPageToken = next
		return err
	})
	return out, err
}

// paginate cuts the page out of all that a request asks for, newest (that is, of
// the highest seq) first. A token names the last entry that was returned, so what
// is created or deleted between two pages makes no other entry appear twice or
// not at all; scope ties it to the list it was given for.
func paginate[T any](all []T, seq func(T) int64, req interface {
	GetPageSize() int32
	GetPageToken() string
}, scope string) (page []T, next string, err error) {
	size := int(req.GetPageSize())
	switch {
	case size < 0:
		return nil, "", fieldError("page_size", "Must not be negative.")
	case size == 0:
		size = defaultPage
	}
	size = min(size, largestPage)
	h := fnv.New32a()
	h.Write([]byte(scope))
	all = slices.SortedFunc(slices.Values(all), func(a, b T) int { return cmp.Compare(seq(b), seq(a)) })
	if text := req.GetPageToken(); text != "" {
		var sum uint32
		var last int64
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			_, err = fmt.Sscanf(string(raw), "%d %d", &sum, &last)
		}
		if err != nil || sum != h.Sum32() {
			return nil, "", fieldError("page_token", "Invalid page token.")
		}
		all = slices.DeleteFunc(all, func(v T) bool { return seq(v) >= last })
	}
	if len(all) > size {
		all = all[:size]
		next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d", h.Sum32(), seq(all[size-1])))
	}
	return all, next, nil
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

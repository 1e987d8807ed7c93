package bench

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/gcp"
	"example.com/berth/internal/ledger"
)

// records reads every record of the ledger, past the proxies: none if it is
// embedded.
func (w *world) records(ctx context.Context) (all []*ledger.Record, err error) {
	if w.firestore == "" {
		return nil, nil
	}
	l, err := gcp.OpenLedger(ctx, gcp.LedgerOptions{Project: w.project, Database: database, AllowEmulator: true, ClientOptions: []option.ClientOption{
		option.WithEndpoint(w.firestore), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	const page = 300
	for after, more := "", true; more; {
		found, err := l.Scan(ctx, ledger.KindRecord, after, page)
		if err != nil {
			return nil, fmt.Errorf("read the records of %s: %w", w.project, err)
		}
		if more = len(found) == page; more {
			after = found[page-1].Ref().Name
		}
		all = append(all, ledger.Of[*ledger.Record](found)...)
	}
	return all, nil
}

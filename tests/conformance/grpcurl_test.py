"""The workload socket as grpcurl sees it, which knows nothing about SPIFFE: what it shows and calls it has from reflection."""

import os

import grpcurl
from node import NodeTest, entry

CALLS = {
    'FetchX509SVID': {}, 'FetchX509Bundles': {}, 'FetchJWTSVID': {'audience': ['reports']}, 'FetchJWTBundles': {},
    'ValidateJWTSVID': {'audience': 'reports', 'svid': 'x.y.z'}, 'FetchWITSVID': {}, 'FetchWITBundles': {},
}


class GrpcurlTest(NodeTest):
    def setUp(self):
        if not grpcurl.GRPCURL.exists():
            self.skipTest('grpcurl is not there; tests/peers.sh makes it')
        self.node_under_test = self.started_node([entry('/me', f'unix:uid:{os.geteuid()}')])

    def ask(self, *arguments):
        done = self.node_under_test.run([grpcurl.GRPCURL, '-plaintext', '-max-time', '20', *arguments[:-1],
                                         f'unix://{self.node_under_test.socket}', *arguments[-1]])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def refused(self, method, request, headers=grpcurl.TRUE):
        done = grpcurl.call(self.node_under_test, method, request, headers)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertEqual(done.stdout, '', f'{method}: something was handed out')
        return done.stderr

    def test_reflection_lists_the_services(self):
        listed = self.ask(['list']).split()
        self.assertIn('SpiffeWorkloadAPI', listed)
        self.assertIn('grpc.health.v1.Health', listed)

    def test_reflection_lists_and_describes_all_seven_methods(self):
        listed = self.ask(['list', 'SpiffeWorkloadAPI']).split()
        self.assertEqual(sorted(listed), sorted(f'SpiffeWorkloadAPI.{method}' for method in CALLS))
        described = self.ask(['describe', 'SpiffeWorkloadAPI'])
        for method in CALLS:
            self.assertIn(f'rpc {method} ', described)
        for message, field in (('X509SVID', 'x509_svid_key'), ('JWTSVIDRequest', 'repeated string audience = 1'),
                               ('ValidateJWTSVIDResponse', '.google.protobuf.Struct claims = 2'), ('WITSVID', 'wit_svid_key')):
            self.assertIn(field, self.ask(['describe', message]))

    def test_both_versions_of_reflection_answer(self):
        for service in ('grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'):
            answer = self.ask('-d', '{"list_services": ""}', [f'{service}/ServerReflectionInfo'])
            self.assertIn('SpiffeWorkloadAPI', answer, service)

    def test_health_says_serving(self):
        self.assertIn('SERVING', self.ask(['grpc.health.v1.Health/Check']))

    def test_an_identity_can_be_fetched_through_reflection_alone(self):
        [svid] = grpcurl.first_message(self.node_under_test, 'FetchX509SVID')['svids']
        self.assertEqual(svid['spiffeId'], 'spiffe://example.org/me')

    def test_a_jwt_svid_can_be_fetched_and_validated_through_reflection_alone(self):
        node = self.node_under_test
        [svid] = grpcurl.first_message(node, 'FetchJWTSVID', {'audience': ['reports']})['svids']
        self.assertEqual(svid['spiffeId'], 'spiffe://example.org/me')
        valid = grpcurl.first_message(node, 'ValidateJWTSVID', {'audience': 'reports', 'svid': svid['svid']})
        self.assertEqual((valid['spiffeId'], valid['claims']['aud']), ('spiffe://example.org/me', ['reports']))
        for audience, token in (('others', svid['svid']), ('reports', svid['svid'][:-4] + 'AAAA'), ('reports', 'x.y.z')):
            self.assertIn('Code: InvalidArgument', self.refused('ValidateJWTSVID', {'audience': audience, 'svid': token}))

    def test_a_request_that_makes_no_sense_is_an_invalid_argument(self):
        for method, request in (('FetchJWTSVID', {}), ('FetchJWTSVID', {'audience': ['']}), ('FetchJWTSVID', {'audience': ['a', '']}),
                                ('FetchJWTSVID', {'audience': ['a'] * 1000}),
                                ('FetchJWTSVID', {'audience': ['a'], 'spiffe_id': 'spiffe://example.org//me'}),
                                ('FetchWITSVID', {'spiffe_id': 'me'}), ('ValidateJWTSVID', {'svid': 'x.y.z'}),
                                ('ValidateJWTSVID', {'audience': 'a'})):
            self.assertIn('Code: InvalidArgument', self.refused(method, request), (method, request))

    def test_no_method_answers_without_the_security_header_given_once_as_true(self):
        wrong = (), ('workload.spiffe.io: false',), ('workload.spiffe.io: True',), ('workload.spiffe.io: ',), 2 * grpcurl.TRUE
        for method, request in CALLS.items():
            for headers in wrong:
                refusal = self.refused(method, request, headers)
                self.assertIn('Code: InvalidArgument', refusal, (method, headers))
                self.assertIn('workload.spiffe.io', refusal, (method, headers))

    def test_with_the_security_header_every_method_goes_on(self):
        for method, request in CALLS.items():
            if method != 'ValidateJWTSVID':  # whose token is none here
                self.assertTrue(grpcurl.first_message(self.node_under_test, method, request), method)
        self.assertNotIn('workload.spiffe.io', self.refused('ValidateJWTSVID', CALLS['ValidateJWTSVID']))

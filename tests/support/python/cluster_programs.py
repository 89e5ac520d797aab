"""What runs on the node of a cluster: command lines and configuration files.

As kubeadm would set it up, but for what a machine that is not the cluster's own asks: no limit is enforced on the node's
programs, and no setting of the kernel is touched.
"""

import json

from cluster_node import ADDRESS, NAME
from peers import PEERS

SERVER = f'https://{ADDRESS}:6443'
PODS, SERVICES, KUBERNETES_SERVICE = '10.244.0.0/16', '10.96.0.0/16', '10.96.0.1'
BUSYBOX = 'lanyard.test/busybox:1'  # what pods of tests run; and the sandbox of each pod sleeps in it
PKI = '/etc/kubernetes/pki'
CONTAINERD = 'unix:///run/containerd/containerd.sock'

SERVERS = {
    'apiserver': ('/CN=kube-apiserver',
                  f'DNS:{NAME},DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,'
                  f'IP:{ADDRESS},IP:127.0.0.1,IP:{KUBERNETES_SERVICE}'),
    'kubelet': (f'/O=system:nodes/CN=system:node:{NAME}', f'DNS:{NAME},IP:{ADDRESS}')}
CLIENTS = {
    'admin': '/O=system:masters/CN=admin',
    'apiserver-kubelet-client': '/O=system:masters/CN=kube-apiserver-kubelet-client',
    'node': f'/O=system:nodes/CN=system:node:{NAME}',
    'controller-manager': '/CN=system:kube-controller-manager',
    'scheduler': '/CN=system:kube-scheduler',
    'proxy': '/CN=system:kube-proxy'}


def configuration(cgroup, read_only_port):
    """Files below /etc, by their path there."""
    return {
        'containerd/config.toml': f'''version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{BUSYBOX}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
''',
        # Each pod has a cable of its own to the node, which forwards. On a bridge an answer would not come by where a Service's
        # address is put back, unless the machine has loaded br_netfilter.
        'cni/net.d/10-pods.conflist': json.dumps({
            'cniVersion': '0.4.0', 'name': 'pods', 'plugins': [
                {'type': 'ptp',
                 'ipam': {'type': 'host-local', 'ranges': [[{'subnet': PODS}]], 'routes': [{'dst': '0.0.0.0/0'}]}}]}),
        'kubernetes/kubelet.yaml': json.dumps({
            'apiVersion': 'kubelet.config.k8s.io/v1beta1', 'kind': 'KubeletConfiguration',
            'address': '0.0.0.0', 'port': 10250, 'readOnlyPort': read_only_port,
            'authentication': {'anonymous': {'enabled': False}, 'webhook': {'enabled': True, 'cacheTTL': '1s'},
                               'x509': {'clientCAFile': f'{PKI}/ca.crt'}},
            'authorization': {'mode': 'Webhook',
                              'webhook': {'cacheAuthorizedTTL': '1s', 'cacheUnauthorizedTTL': '1s'}},
            'tlsCertFile': f'{PKI}/kubelet.crt', 'tlsPrivateKeyFile': f'{PKI}/kubelet.key',
            'containerRuntimeEndpoint': CONTAINERD, 'staticPodPath': '/etc/kubernetes/manifests', 'resolvConf': '/etc/resolv.conf',
            'syncFrequency': '3s',  # soon a pod has what changes in a ConfigMap; usually that takes a minute
            'cgroupDriver': 'cgroupfs', 'cgroupRoot': f'/{cgroup}', 'failCgroupV1': False, 'failSwapOn': False,
            'enforceNodeAllocatable': [], 'maxPods': 300, 'imageGCHighThresholdPercent': 100,
            'evictionHard': {'imagefs.available': '0%', 'nodefs.available': '0%', 'nodefs.inodesFree': '0%'}}),
        'kubernetes/proxy.yaml': json.dumps({
            'apiVersion': 'kubeproxy.config.k8s.io/v1alpha1', 'kind': 'KubeProxyConfiguration',
            'clientConnection': {'kubeconfig': f'{PKI}/proxy.conf'}, 'hostnameOverride': NAME, 'mode': 'nftables',
            'clusterCIDR': PODS, 'healthzBindAddress': '127.0.0.1:10256', 'metricsBindAddress': '127.0.0.1:10249',
            'oomScoreAdj': 0, 'conntrack': {'maxPerCore': 0, 'min': 0}})}


def commands():
    """Command lines, by the names of the programs."""
    binaries = PEERS / 'bin'
    return {
        'containerd': ['containerd', '--config', '/etc/containerd/config.toml'],
        'etcd': ['etcd', '--name', NAME, '--data-dir', '/var/lib/etcd', '--listen-client-urls', 'http://127.0.0.1:2379',
                 '--advertise-client-urls', 'http://127.0.0.1:2379', '--listen-peer-urls', 'http://127.0.0.1:2380'],
        'kube-apiserver': [
            binaries / 'kube-apiserver', '--etcd-servers=http://127.0.0.1:2379', f'--service-cluster-ip-range={SERVICES}',
            f'--advertise-address={ADDRESS}', '--secure-port=6443', '--allow-privileged=true',
            f'--tls-cert-file={PKI}/apiserver.crt', f'--tls-private-key-file={PKI}/apiserver.key',
            f'--client-ca-file={PKI}/ca.crt', '--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction',
            '--service-account-issuer=https://kubernetes.default.svc', f'--service-account-key-file={PKI}/sa.pub',
            f'--service-account-signing-key-file={PKI}/sa.key', f'--kubelet-certificate-authority={PKI}/ca.crt',
            f'--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt',
            f'--kubelet-client-key={PKI}/apiserver-kubelet-client.key', '--kubelet-preferred-address-types=InternalIP'],
        'kube-controller-manager': [
            binaries / 'kube-controller-manager', f'--kubeconfig={PKI}/controller-manager.conf',
            f'--service-account-private-key-file={PKI}/sa.key', f'--root-ca-file={PKI}/ca.crt',
            '--use-service-account-credentials=true', '--bind-address=127.0.0.1', '--leader-elect=false'],
        'kube-scheduler': [binaries / 'kube-scheduler', f'--kubeconfig={PKI}/scheduler.conf', '--bind-address=127.0.0.1',
                           '--leader-elect=false'],
        'kubelet': [binaries / 'kubelet', '--config=/etc/kubernetes/kubelet.yaml', f'--kubeconfig={PKI}/node.conf',
                    f'--hostname-override={NAME}', f'--node-ip={ADDRESS}'],
        'kube-proxy': [binaries / 'kube-proxy', '--config=/etc/kubernetes/proxy.yaml']}

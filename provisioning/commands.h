// The commands, a describe and a run function each; one file a group.
#pragma once

#include "provisioning/command.h"

namespace skms::provisioning {

void NoOptions(OptionsDescription& options);

Status RunInit(const Session& session, const Options& options);
void DescribeStoreMove(OptionsDescription& options);
Status RunStoreMove(const Session& session, const Options& options);

void DescribeServiceAdd(OptionsDescription& options);
void DescribeServiceSet(OptionsDescription& options);
Status RunServiceAdd(const Session& session, const Options& options);
Status RunServiceSet(const Session& session, const Options& options);
Status RunServiceList(const Session& session, const Options& options);
Status RunServiceShow(const Session& session, const Options& options);
Status RunServiceRemove(const Session& session, const Options& options);

void DescribePrincipalAdd(OptionsDescription& options);
Status RunPrincipalAdd(const Session& session, const Options& options);
Status RunPrincipalList(const Session& session, const Options& options);
Status RunPrincipalRemove(const Session& session, const Options& options);

void DescribeRecipientAdd(OptionsDescription& options);
Status RunRecipientAdd(const Session& session, const Options& options);
Status RunRecipientList(const Session& session, const Options& options);
Status RunRecipientRemove(const Session& session, const Options& options);
void DescribeRecipientTrust(OptionsDescription& options);
Status RunRecipientTrust(const Session& session, const Options& options);
Status RunRecipientDistrust(const Session& session, const Options& options);

void DescribeIssuerAdd(OptionsDescription& options);
Status RunIssuerAdd(const Session& session, const Options& options);
Status RunIssuerFetch(const Session& session, const Options& options);
Status RunIssuerList(const Session& session, const Options& options);
Status RunIssuerRemove(const Session& session, const Options& options);

void DescribeKeyList(OptionsDescription& options);
void DescribeKeyRotate(OptionsDescription& options);
Status RunKeyList(const Session& session, const Options& options);
Status RunKeyShow(const Session& session, const Options& options);
Status RunKeyRotate(const Session& session, const Options& options);
void DescribeKeyTransition(OptionsDescription& options);
void DescribeKeyCompromise(OptionsDescription& options);
Status RunKeyActivate(const Session& session, const Options& options);
Status RunKeySuspend(const Session& session, const Options& options);
Status RunKeyResume(const Session& session, const Options& options);
Status RunKeyDeactivate(const Session& session, const Options& options);
Status RunKeyCompromise(const Session& session, const Options& options);
Status RunKeyDestroy(const Session& session, const Options& options);
Status RunKeyRelease(const Session& session, const Options& options);
Status RunKeyWithhold(const Session& session, const Options& options);

void DescribeGroupList(OptionsDescription& options);
void DescribeGroupShow(OptionsDescription& options);
void DescribeGroupRekey(OptionsDescription& options);
void DescribeGroupRemove(OptionsDescription& options);
void DescribePayloadList(OptionsDescription& options);
Status RunPayloadList(const Session& session, const Options& options);
Status RunPayloadRemove(const Session& session, const Options& options);
Status RunGroupList(const Session& session, const Options& options);
Status RunGroupShow(const Session& session, const Options& options);
Status RunGroupRekey(const Session& session, const Options& options);
Status RunGroupRemove(const Session& session, const Options& options);

Status RunSubscriptionList(const Session& session, const Options& options);
Status RunSubscriptionRemove(const Session& session, const Options& options);

Status RunRotationResume(const Session& session, const Options& options);
void DescribeUnlock(OptionsDescription& options);
Status RunUnlock(const Session& session, const Options& options);
void DescribeDoctor(OptionsDescription& options);
Status RunDoctor(const Session& session, const Options& options);
void DescribePage(OptionsDescription& options);
Status RunPage(const Session& session, const Options& options);
void DescribeMetrics(OptionsDescription& options);
Status RunMetrics(const Session& session, const Options& options);
Status RunStatus(const Session& session, const Options& options);
void DescribeAuditArchive(OptionsDescription& options);
Status RunAuditArchive(const Session& session, const Options& options);
void DescribeAuditExport(OptionsDescription& options);
Status RunAuditExport(const Session& session, const Options& options);
Status RunAuditKey(const Session& session, const Options& options);
void DescribeAuditQuery(OptionsDescription& options);
Status RunAuditQuery(const Session& session, const Options& options);
void DescribeAuditVerify(OptionsDescription& options);
Status RunAuditVerify(const Session& session, const Options& options);
Status RunApprovalList(const Session& session, const Options& options);
Status RunApprovalShow(const Session& session, const Options& options);
Status RunTokenRefresh(const Session& session, const Options& options);

void DescribeApprovalApprove(OptionsDescription& options);
Status RunApprovalApprove(const Session& session, const Options& options);
Status RunApprovalRefuse(const Session& session, const Options& options);
Status RunApprovalWithdraw(const Session& session, const Options& options);

void DescribeBackupCreate(OptionsDescription& options);
Status RunBackupCreate(const Session& session, const Options& options);
void DescribeBackupVerify(OptionsDescription& options);
Status RunBackupVerify(const Session& session, const Options& options);
void DescribeBackupAuthorise(OptionsDescription& options);
Status RunBackupAuthorise(const Session& session, const Options& options);
void DescribeBackupRestore(OptionsDescription& options);
Status RunBackupRestore(const Session& session, const Options& options);
void DescribeBackupDrill(OptionsDescription& options);
Status RunBackupDrill(const Session& session, const Options& options);
void DescribeEdgeConfig(OptionsDescription& options);
Status RunEdgeConfig(const Session& session, const Options& options);
void DescribeTokenProbe(OptionsDescription& options);
Status RunTokenProbe(const Session& session, const Options& options);
Status RunTokenList(const Session& session, const Options& options);
Status RunTokenPrepare(const Session& session, const Options& options);
void DescribeTokenJoin(OptionsDescription& options);
Status RunTokenJoin(const Session& session, const Options& options);
void DescribeKekWait(OptionsDescription& options);
void DescribeKekRetire(OptionsDescription& options);
Status RunKekRotate(const Session& session, const Options& options);
Status RunKekStatus(const Session& session, const Options& options);
Status RunKekRetire(const Session& session, const Options& options);
void DescribeMakeStrictKek(OptionsDescription& options);
Status RunMakeStrictKek(const Session& session, const Options& options);
Status RunManual(const Session& session, const Options& options);
Status RunCompletion(const Session& session, const Options& options);

}  // namespace skms::provisioning

"""The addresses of the tutorial, of every computation, and of the site itself."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from . import views
from .web import (
    accounts,
    actions,
    checking,
    chunks,
    clicks,
    deleting,
    estimating,
    noting,
    operating,
    outputs,
    passwords,
    runs,
    site,
    steering,
    uploads,
)

urlpatterns = [
    path("", views.HomeView.as_view(), name="home"),
    path("tutorial/", views.TutorialView.as_view(), name="tutorial"),
    path("sum-sync/", views.SumView.as_view(), name="sum"),
    path("sum-start/", views.SumAsyncStartView.as_view(), name="sum-async-start"),
    path("sum-check/", views.SumAsyncProgressView.as_view(), name="sum-async-progress"),
    path("bug-sum-start/", views.BuggySumAsyncStartView.as_view(), name="buggy-sum-async-start"),
    path("split-sum-start/", views.SplitSumAsyncStartView.as_view(), name="split-sum-async-start"),
    path(
        "split-sum-check/",
        views.SplitSumAsyncProgressView.as_view(),
        name="split-sum-async-progress",
    ),
    path("compute/<slug:name>/", runs.ComputationView.as_view(), name="computation"),
    path("compute/<slug:name>/estimate/", estimating.EstimateView.as_view(), name="estimate"),
    path("compute/<slug:name>/start/", runs.StartView.as_view(), name="start"),
    path("compute/<slug:name>/upload/", uploads.UploadsView.as_view(), name="uploads"),
    path("compute/<slug:name>/upload/<slug:upload>/", uploads.UploadView.as_view(), name="upload"),
    path("compute/<slug:name>/file/", uploads.FileView.as_view(), name="file"),
    path("compute/<slug:name>/check/", checking.CheckView.as_view(), name="check"),
    path("compute/<slug:name>/result/", outputs.ResultView.as_view(), name="result"),
    path("compute/<slug:name>/chunk/", chunks.ChunkView.as_view(), name="chunk"),
    path("compute/<slug:name>/chunks/", chunks.ChunksView.as_view(), name="chunks"),
    path("compute/<slug:name>/cancel/", actions.CancelView.as_view(), name="cancel"),
    path("compute/<slug:name>/retry/", actions.RetryView.as_view(), name="retry"),
    path("compute/<slug:name>/go-on/", actions.GoOnView.as_view(), name="go-on"),
    path("compute/<slug:name>/pause/", steering.PauseView.as_view(), name="pause"),
    path("compute/<slug:name>/resume/", steering.ResumeView.as_view(), name="resume"),
    path("compute/<slug:name>/priority/", steering.PriorityView.as_view(), name="priority"),
    path("compute/<slug:name>/combine/", actions.CombineView.as_view(), name="combine"),
    path("compute/<slug:name>/share/", actions.ShareView.as_view(), name="share"),
    path("compute/<slug:name>/note/", noting.NoteView.as_view(), name="note"),
    path("compute/<slug:name>/delete/", deleting.DeleteView.as_view(), name="delete"),
    path("compute/<slug:name>/again/", actions.AgainView.as_view(), name="again"),
    path("compute/<slug:name>/click/", clicks.ClickView.as_view(), name="click"),
    path("compute/<slug:name>/chunk-sizes/", actions.ChunkSizesView.as_view(), name="chunk-sizes"),
    path("nodes/", site.NodesView.as_view(), name="nodes"),
    path("nodes/drain/", operating.DrainView.as_view(), name="drain"),
    path("nodes/pause/", operating.PauseQueueView.as_view(), name="pause-queue"),
    path("login/", accounts.SignInView.as_view(), name="login"),
    path("password/", passwords.PasswordView.as_view(), name="password"),
    path(
        "password/changed/",
        passwords.ToldView.as_view(
            heading="Your password is changed",
            detail="Sign in with the new one wherever else you are signed in.",
        ),
        name="password-changed",
    ),
    path("password/forgotten/", passwords.ForgottenView.as_view(), name="password-forgotten"),
    path(
        "password/forgotten/sent/",
        login_not_required(
            passwords.ToldView.as_view(heading="Look into your mail", detail=passwords.ON_ITS_WAY)
        ),
        name="password-mail-sent",
    ),
    path(
        "password/choose/<uidb64>/<token>/",
        passwords.ChooseView.as_view(),
        name="password-choose",
    ),
    path(
        "password/chosen/",
        login_not_required(
            passwords.ToldView.as_view(
                heading="Your password is set",
                detail="You can sign in with it now.",
                onward=("Sign in", "login"),
            )
        ),
        name="password-chosen",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("healthz", login_not_required(site.HealthView.as_view()), name="healthz"),
    path("readyz", login_not_required(site.ReadyView.as_view()), name="readyz"),
    path("metrics", login_not_required(site.MetricsView.as_view()), name="metrics"),
]
